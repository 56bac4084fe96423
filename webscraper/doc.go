// Package webscraper is a client of the Web Scraper Cloud API
// (https://webscraper.io/documentation/web-scraper-cloud/api).
//
// A [Client] is made from the API token of an account and is safe for
// concurrent use:
//
//	client, err := webscraper.NewClient(os.Getenv("WEBSCRAPER_API_TOKEN"))
//
// # Sitemaps and scraping jobs
//
// A sitemap says what to scrape; a scraping job is one run of it. Start one with
// [Client.CreateScrapingJob]. Do not poll for its end: the service posts a
// webhook notification then, whose form holds the job's ID in scrapingjob_id.
// It may come twice, and a person may have continued the job in between, so ask
// for the job itself:
//
//	job, err := client.ScrapingJob(ctx, id)
//	if err != nil {
//		return err
//	}
//	if !job.Status.Terminal() {
//		return nil // another notification will come
//	}
//
// [Client.ScrapingJobsPage] and [Client.ProblematicURLs] list what there is.
//
// # Records
//
// A download of a job that has not ended succeeds with some of its records, or none, so
// compare with StoredRecordCount before deleting anything.
//
// [RowReader] reads a download row by row:
//
//	rows := webscraper.NewRowReader(file, webscraper.FormatJSON, 0)
//	for rows.Next() {
//		var record struct{ Product, Price string }
//		if err := json.Unmarshal(rows.Row().Raw, &record); err != nil {
//			return err
//		}
//		fmt.Println(record.Product, record.Price)
//	}
//	return rows.Err()
//
// # Errors
//
// An answer other than the promised one is an [*Error], found with [errors.As]:
// it has the status, the server's message and its complaints by field.
// [IsNotFound], [IsUnauthorized] and [IsRateLimited] tell the usual cases. A
// call that takes too long, see [WithTimeout] and [WithIdleTimeout], matches
// [context.DeadlineExceeded].
//
// The API takes the token in the query of every URL. The client therefore follows
// redirects of downloads only, without the token, and keeps the query and the
// token out of its errors and logs, also where the server's text repeats the token.
//
// # API limit
//
// An account has 200 calls per 15 minutes, downloads included; see [IsRateLimited], and
// [Client.WithBudget] where several processes share the account.
package webscraper
