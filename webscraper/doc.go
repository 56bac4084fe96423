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
// A sitemap says what to scrape; a scraping job is one run of a sitemap. Start one
// with [Client.CreateScrapingJob]. Do not poll for its end: the service then posts a
// webhook notification with the job's ID in the form field scrapingjob_id. It may
// arrive twice, and a person may have continued the job since, so get the job itself:
//
//	job, err := client.ScrapingJob(ctx, id)
//	if err != nil {
//		return err
//	}
//	if !job.Status.Terminal() {
//		return nil // another notification will come
//	}
//
// [Client.ScrapingJobsPage] lists jobs, [Client.ProblematicURLs] the pages that a job
// got nothing from.
//
// # Records
//
// The download of a job that has not ended succeeds with some of its records, or none.
// Compare with StoredRecordCount before deleting anything.
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
// An unexpected response is an [*Error], found with [errors.As]: it has the status,
// the server's message and its complaints by field. [IsNotFound], [IsUnauthorized]
// and [IsRateLimited] detect the usual cases. The error of a call that takes too
// long, see [WithTimeout] and [WithIdleTimeout], matches [context.DeadlineExceeded].
//
// The API takes the token in the query of every URL. The client therefore follows
// only redirects of downloads, without the token, and keeps the query and the token
// out of its errors and logs, even if the server's text repeats the token.
//
// # API limit
//
// An account has 200 calls per 15 minutes, downloads included; see [IsRateLimited].
// If several processes share the account, see [Client.WithBudget].
package webscraper
