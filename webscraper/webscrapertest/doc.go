// Package webscrapertest is a fake of Web Scraper Cloud (webscraper.io):
// its API and its webhooks, without an account. Use it to test code that
// imports scraped data, or run it as a server of its own.
//
// A [Cloud] is an [http.Handler]; [NewServer] serves one for the time of a
// test. Define jobs with [Cloud.AddJob] and point a client at the server's URL
// with the token [DefaultToken]:
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
// What a job has scraped is given as [JSONLines], [RawBody] or [Products]. A job keeps its
// status until it is changed by [Cloud.Finish], [Cloud.SetStatus] or [Cloud.Continue], or
// goes through its statuses on its own clock when it has a [Timeline].
//
// A job created through the API has the Timeline of the [Options]. Each of its start URLs,
// or else of its [Sitemap]'s, is a page with 20 of the [Products] that the shop has by then;
// one with a range, such as https://example.com/[1-1000], is that many pages, and a job has
// at most 20,000. A page fails if its host ends in .invalid; a job fails if more than half of
// its pages do.
//
// [Cloud.Job], [Cloud.Deleted], [Cloud.Requests] and the [Delivery] of
// [Cloud.SendWebhook] tell what happened.
//
// # Faults
//
// [Cloud.Inject] makes things go wrong with the requests that match, such as
// the next download:
//
//	cloud.Inject(webscrapertest.Fault{
//		Path:   "scraping-job/*/json",
//		Times:  1,
//		Effect: webscrapertest.Truncate(1000),
//	})
//
// Any function of type [Effect] will do as well as those of this package. ResetAt(0)
// executes a request and loses its response.
//
// # Faithfulness
//
// Shapes, spelling, statuses and headers are those of the service's
// documentation and of the tests and sources of its own clients, the
// misspelled "An error occured" among them; a test beside this package runs the
// vendor's Node.js client against it. Where the service is not documented, the
// fake decides: validation errors have status 422, and a job's fields that are not
// called optional are required; a wrong token has 401,
// with the body of other errors; so has the 429 of the rate limit; lists are in
// order of id; a job without custom_id has none in its webhook; JSON downloads
// have an ETag and serve ranges, which [Options] can turn off, CSV ones do not, and
// there are none as XLSX; a job that is continued keeps its download until it ends.
// Of sitemaps there is no API: [Cloud.AddSitemap] adds them.
package webscrapertest
