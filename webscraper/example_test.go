package webscraper_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// The examples use a fake; without WithBaseURI a client uses Web Scraper Cloud.

// Import a scraping job when its webhook notification arrives. A real handler would
// queue the import, to respond within the 10 seconds that the service waits.
func Example_importOnWebhook() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(
		`{"web-scraper-order":"1614248295-1","product":"IdeaTab A3500L","price":"$88.99"}`,
		`{"web-scraper-order":"1614248295-2","product":"Memo Pad HD 7","price":"$101.99"}`,
	)})
	api := httptest.NewServer(cloud)
	defer api.Close()

	client, err := webscraper.NewClient(webscrapertest.DefaultToken, webscraper.WithBaseURI(api.URL+webscrapertest.BasePath))
	if err != nil {
		log.Fatal(err)
	}

	importJob := func(ctx context.Context, id int64) error {
		job, err := client.ScrapingJob(ctx, id)
		if webscraper.IsNotFound(err) {
			return nil // the test button of the dashboard
		}
		if err != nil {
			return err
		}
		if !job.Status.Terminal() {
			return nil // the job was continued; another notification will come
		}
		folder, err := os.MkdirTemp("", "import")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		file, err := os.Create(filepath.Join(folder, "records.json"))
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := client.DownloadScrapingJob(ctx, id, file, webscraper.FormatJSON, webscraper.DownloadOptions{}); err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		var count int64
		rows := webscraper.NewRowReader(file, webscraper.FormatJSON, 0)
		for rows.Next() {
			var record struct {
				Order          string `json:"web-scraper-order"`
				Product, Price string
			}
			if err := json.Unmarshal(rows.Row().Raw, &record); err != nil {
				return err
			}
			fmt.Println(record.Order, record.Product, record.Price)
			count++
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if count != job.StoredRecordCount {
			return fmt.Errorf("scraping job %d has %d records, its download %d", id, job.StoredRecordCount, count)
		}
		return client.DeleteScrapingJob(ctx, id)
	}

	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PostFormValue("scrapingjob_id"), 10, 64)
		if err != nil {
			http.Error(w, "scrapingjob_id must be a number", http.StatusBadRequest)
			return
		}
		if err := importJob(r.Context(), id); err != nil {
			http.Error(w, "the import failed", http.StatusInternalServerError)
			log.Print(err)
		}
	}))
	defer webhook.Close()

	notification := url.Values{"scrapingjob_id": {strconv.FormatInt(id, 10)}, "status": {"finished"}}
	resp, err := http.PostForm(webhook.URL, notification)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status, "deleted:", cloud.Deleted(id))
	// Output:
	// 1614248295-1 IdeaTab A3500L $88.99
	// 1614248295-2 Memo Pad HD 7 $101.99
	// 200 OK deleted: true
}

func ExampleClient_CreateScrapingJob() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	api := httptest.NewServer(cloud)
	defer api.Close()

	ctx := context.Background()
	client, err := webscraper.NewClient(webscrapertest.DefaultToken, webscraper.WithBaseURI(api.URL+webscrapertest.BasePath))
	if err != nil {
		log.Fatal(err)
	}
	id, err := client.CreateScrapingJob(ctx, webscraper.ScrapingJobConfig{
		SitemapID:       cloud.AddSitemap(webscrapertest.Sitemap{Name: "webscraper-io-landing"}),
		Driver:          "fast",
		PageLoadDelay:   2 * time.Second,
		RequestInterval: 2 * time.Second,
		CustomID:        "custom-scraping-job-12",
	})
	if err != nil {
		log.Fatal(err)
	}
	job, err := client.ScrapingJob(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.SitemapName, job.Status, job.CustomID)
	// Output: webscraper-io-landing waiting-to-be-scheduled custom-scraping-job-12
}

// Resume an interrupted download.
func ExampleDownloadOptions() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1000, 1)})
	cloud.Inject(webscrapertest.Fault{Times: 1, Effect: webscrapertest.Truncate(400_000)})
	api := httptest.NewServer(cloud)
	defer api.Close()

	ctx := context.Background()
	client, err := webscraper.NewClient(webscrapertest.DefaultToken, webscraper.WithBaseURI(api.URL+webscrapertest.BasePath))
	if err != nil {
		log.Fatal(err)
	}
	var file strings.Builder
	first, err := client.DownloadScrapingJob(ctx, id, &file, webscraper.FormatJSON, webscraper.DownloadOptions{Uncompressed: true})
	fmt.Println(first.Bytes, errors.Is(err, io.ErrUnexpectedEOF))

	second, err := client.DownloadScrapingJob(ctx, id, &file, webscraper.FormatJSON, webscraper.DownloadOptions{
		Offset: first.Bytes, Validator: first.Validator,
		OnHeader: func(started webscraper.Download, _ int64) error {
			if started.Offset == 0 {
				file.Reset() // the server sends the complete file again
			}
			return nil
		},
	})
	fmt.Println(second.Offset, second.Bytes, err)
	fmt.Println(file.Len())
	// Output:
	// 400000 true
	// 400000 120000 <nil>
	// 520000
}

// Inspect the error of a failed call.
func ExampleError() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	running := cloud.AddJob(webscrapertest.Job{ID: 500, Status: "started"})
	api := httptest.NewServer(cloud)
	defer api.Close()

	ctx := context.Background()
	client, err := webscraper.NewClient(webscrapertest.DefaultToken, webscraper.WithBaseURI(api.URL+webscrapertest.BasePath))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.ScrapingJob(ctx, 404)
	fmt.Println(webscraper.IsNotFound(err))
	fmt.Println(err)

	_, err = client.ScrapingJobDataQuality(ctx, running)
	var apiErr *webscraper.Error
	if errors.As(err, &apiErr) {
		fmt.Println(apiErr.ValidationErrors["scraping_job_id"])
	}
	// Output:
	// true
	// webscraper: get scraping job 404: GET /api/v1/scraping-job/404: 404 Not Found: An error occured
	// [Data quality check not available yet, scraping job not finished]
}

// A refused call returns immediately; its error says how long to wait.
func ExampleIsRateLimited() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.TooManyRequests(30 * time.Second)})
	api := httptest.NewServer(cloud)
	defer api.Close()

	client, err := webscraper.NewClient(webscrapertest.DefaultToken, webscraper.WithBaseURI(api.URL+webscrapertest.BasePath))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = client.Account(ctx)
	if wait, limited := webscraper.IsRateLimited(err); limited {
		fmt.Println("retry in", wait)
	}
	// Output:
	// retry in 31s
}

func ExampleClient_ScrapingJobDataQuality() {
	cloud := webscrapertest.New(webscrapertest.Options{})
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"title":"IdeaTab A3500L"}`, `{"title":""}`)})
	api := httptest.NewServer(cloud)
	defer api.Close()

	client, err := webscraper.NewClient(webscrapertest.DefaultToken, webscraper.WithBaseURI(api.URL+webscrapertest.BasePath))
	if err != nil {
		log.Fatal(err)
	}
	quality, err := client.ScrapingJobDataQuality(context.Background(), id)
	if err != nil {
		log.Fatal(err)
	}
	if !quality.Success {
		for column, check := range quality.MinColumnRecords {
			fmt.Printf("%s is filled in %v%% of the records, of %v%% expected\n", column, check.Got, check.Expected)
		}
	}
	// Output: title is filled in 50% of the records, of 95% expected
}
