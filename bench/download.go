package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// downloadedFile is the name of every download, in a spool folder.
const downloadedFile = "download.json"

// downloadPart compares the activity DownloadScrapingJob, which hashes what it
// writes, with curl, which does not. Neither waits for the disk. Processes are
// timed without their start: curl by its own clock.
type downloadPart struct {
	*stage
	databaseURL string // of the ledger of calls
	baseURI     string
	id          int64
	bytes       int64
	curl        string // its file
}

func measureDownload(ctx context.Context, s *stage, r *result) error {
	cloud := cloud(apiLimit{})
	_, databaseURL, err := s.MigratedDatabase(ctx, databasePrefix)
	if err != nil {
		return err
	}
	records := webscrapertest.Products(s.Records, 1)
	p := &downloadPart{stage: s, databaseURL: databaseURL, baseURI: s.Serve(cloud) + webscrapertest.BasePath, id: cloud.AddJob(webscrapertest.Job{Records: records})}
	if p.bytes, err = records.Open().Seek(0, 2); err != nil {
		return err
	}
	if p.curl, err = exec.LookPath("curl"); err != nil {
		return err
	}
	contenders := []contender{
		{name: "ours", title: "ours: the activity DownloadScrapingJob, hashed", run: p.checked(p.ours)},
		{name: "curl", title: "curl --output", run: p.checked(p.runCurl)},
	}
	seconds, err := p.compare(ctx, contenders)
	if err != nil {
		return err
	}
	megabytes := float64(p.bytes) / 1e6
	t := r.table(fmt.Sprintf("download: %s records, %.0f MB, from the fake cloud; medians, rounds: %d",
		thousands(float64(s.Records)), megabytes, s.Rounds), "", "seconds", "MB/s", "we are")
	r.against(t, "", contenders, seconds, func(seconds float64) []string { return []string{fmt.Sprintf("%.0f", megabytes/seconds)} })
	r.set("bytes", float64(p.bytes))
	r.set("mb_per_second", megabytes/seconds["ours"])
	return nil
}

func (p *downloadPart) file() string { return filepath.Join(p.dir, downloadedFile) }

// checked makes sure that the whole file is there, and removes it: what a
// contender has left to be written must not burden the next one.
func (p *downloadPart) checked(run func(context.Context) (time.Duration, error)) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		took, err := run(ctx)
		if err != nil {
			return 0, err
		}
		info, err := os.Stat(p.file())
		if err != nil {
			return 0, err
		}
		if info.Size() != p.bytes {
			return 0, fmt.Errorf("%d bytes were downloaded, not %d", info.Size(), p.bytes)
		}
		return took, os.Remove(p.file())
	}
}

func (p *downloadPart) ours(ctx context.Context) (time.Duration, error) {
	outcome, err := runActivity(ctx, p.databaseURL, "DownloadScrapingJob", []any{activities.DownloadScrapingJobInput{ScrapingJobID: p.id, File: downloadedFile}},
		"--spool-dir", p.dir, "--base-uri", p.baseURI)
	return time.Duration(outcome.Seconds * float64(time.Second)), err
}

func (p *downloadPart) runCurl(ctx context.Context) (time.Duration, error) {
	from := fmt.Sprintf("%sscraping-job/%d/json?%s", p.baseURI, p.id, url.Values{"api_token": {apiToken}}.Encode())
	output, err := runCommandOutput(exec.CommandContext(ctx, p.curl, "--disable", "--silent", "--show-error", "--fail",
		"--noproxy", "*", "--write-out", "%{time_total}", "--output", p.file(), from))
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(output)), 64)
	if err != nil {
		return 0, fmt.Errorf("curl's time: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
