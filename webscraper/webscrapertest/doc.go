// Package webscrapertest is a fake of Web Scraper Cloud (webscraper.io): its API and its
// webhooks, without an account. Use it to test code that imports scraped data, or run it
// as a standalone server.
//
// A [Cloud] is an [http.Handler]; [NewServer] serves one for the duration of a test.
// Define jobs with [Cloud.AddJob] and point a client at the server's URL with the token
// [DefaultToken]:
//
//	cloud := webscrapertest.NewServer(t, webscrapertest.Options{WebhookURL: myServer.URL})
//	id := cloud.AddJob(webscrapertest.Job{
//		Status:  "started",
//		Records: webscrapertest.Products(5000, 1),
//	})
//	err := cloud.Finish(ctx, id, "finished") // sends the webhook
//
// # Jobs
//
// A job's records are [JSONLines], a [RawBody] or [Products]. A job keeps its status until
// [Cloud.Finish], [Cloud.SetStatus] or [Cloud.Continue] changes it; with a [Timeline] it
// goes through its statuses on its own.
//
// A job created through the API has the Timeline of the [Options]. Each of its start URLs,
// or of its [Sitemap]'s, is a page with 20 of the [Products] that the shop has by then; one
// with a range, such as https://example.com/[1-1000], is that many pages. A job has at most
// 20,000 pages. A page fails if its host ends in .invalid; a job fails if more than half of
// its pages do.
//
// [Cloud.Job], [Cloud.Deleted], [Cloud.Requests] and the [Delivery] of
// [Cloud.SendWebhook] report what happened.
//
// # Faults
//
// [Cloud.Inject] makes matching requests fail, such as the next download:
//
//	cloud.Inject(webscrapertest.Fault{
//		Path:   "scraping-job/*/json",
//		Times:  1,
//		Effect: webscrapertest.Truncate(1000),
//	})
//
// Any function of type [Effect] works, not only those of this package. ResetAt(0)
// executes a request and loses its response.
//
// # Fidelity
//
// Shapes, spelling, statuses and headers are from the service's documentation and from
// the tests and sources of its own clients, including the misspelled "An error occured".
// Package webscraper/contract runs the vendor's Node.js client against the fake.
//
// Where the service is not documented, the fake decides:
//
//   - Validation errors have status 422. Fields of a job that are not called optional
//     are required.
//   - A wrong token gets 401 and the rate limit 429, with the body of other errors.
//   - Lists are in order of ID.
//   - A job without custom_id has none in its webhook.
//   - JSON downloads have an ETag and serve ranges, which [Options] can turn off. CSV
//     downloads do not. There are no XLSX downloads.
//   - A continued job keeps its download until it ends.
//
// There is no API for sitemaps: [Cloud.AddSitemap] adds them.
package webscrapertest
