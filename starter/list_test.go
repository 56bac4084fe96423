package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestListAndStatusShowWhatAnImportWaitsFor(t *testing.T) {
	until := time.Now().Add(7*time.Minute + time.Second/2)
	waiting := overview.Import{
		ScrapingJobID: 500, Open: true, ProgressKnown: true, StartedAt: time.Now(),
		Progress: workflows.Progress{SitemapName: "laptops", Step: workflows.StepDownload, WaitsFor: "the API's rate limit", WaitsUntil: &until},
	}
	const says = `waits for the API's rate limit until (20\d\d-\d\d-\d\d )?\d\d:\d\d:\d\d, in (7m0s|6m\d+s)`
	var list, status, asJSON strings.Builder
	require.NoError(t, printImports(&list, []overview.Import{waiting}, false))
	require.Regexp(t, `\n500 +laptops +downloading +0 +20\S+ \S+ +`+says+`\n$`, list.String())
	require.NoError(t, printImport(&status, waiting, time.Now()))
	require.Regexp(t, `(?m)^next +`+says+`$`, status.String())

	require.NoError(t, printImports(&asJSON, []overview.Import{waiting}, true))
	var printed []struct {
		Next     string             `json:"next"`
		Progress workflows.Progress `json:"progress"`
	}
	require.NoError(t, json.Unmarshal([]byte(asJSON.String()), &printed))
	require.Regexp(t, `^`+says+`$`, printed[0].Next)
	require.Equal(t, "the API's rate limit", printed[0].Progress.WaitsFor)
	require.WithinDuration(t, until, *printed[0].Progress.WaitsUntil, 0)
}
