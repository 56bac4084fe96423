package webscrapertest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// A job finishes; the code under test gets the webhook and downloads the
// records.
func Example() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	api := httptest.NewServer(cloud)
	defer api.Close()

	importer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("job", r.FormValue("scrapingjob_id"), "is", r.FormValue("status"))
		download, err := http.Get(api.URL + webscrapertest.BasePath + "scraping-job/" + r.FormValue("scrapingjob_id") +
			"/json?api_token=" + webscrapertest.DefaultToken)
		if err != nil {
			panic(err)
		}
		defer download.Body.Close()
		records, err := io.ReadAll(download.Body)
		if err != nil {
			panic(err)
		}
		fmt.Print(string(records))
	}))
	defer importer.Close()

	cloud.SetWebhookURL(importer.URL)
	id := cloud.AddJob(webscrapertest.Job{
		SitemapName: "tablets",
		Status:      "started",
		Records:     webscrapertest.JSONLines(`{"web-scraper-order":"1614248295-1","product":"IdeaTab A3500L"}`),
	})
	if err := cloud.Finish(context.Background(), id, "finished"); err != nil {
		panic(err)
	}
	// Output:
	// job 500 is finished
	// {"web-scraper-order":"1614248295-1","product":"IdeaTab A3500L"}
}

// The next two calls fail as behind a broken proxy; the third succeeds.
func ExampleCloud_Inject() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	api := httptest.NewServer(cloud)
	defer api.Close()

	cloud.Inject(webscrapertest.Fault{Times: 2, Effect: webscrapertest.FailWithHTML(http.StatusBadGateway)})
	for range 3 {
		response, err := http.Get(api.URL + webscrapertest.BasePath + "account?api_token=" + webscrapertest.DefaultToken)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		fmt.Println(response.Status)
	}
	// Output:
	// 502 Bad Gateway
	// 502 Bad Gateway
	// 200 OK
}
