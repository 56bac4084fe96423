package statuspage

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestHeldImportsAreSortedByDeletion(t *testing.T) {
	h := handler{}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	held := func(id int64, after time.Duration, pending *overview.Activity) overview.Import {
		until := at.Add(after)
		return overview.Import{
			ScrapingJobID: id, Open: true, ProgressKnown: true, Activity: pending,
			Progress: workflows.Progress{Step: workflows.StepHold, DeleteAfter: &until},
		}
	}
	_, sorted, _ := split(h.viewImports([]overview.Import{
		held(1, 2*time.Hour, nil),
		held(2, time.Hour, &overview.Activity{Name: "RemoveFile", Attempt: 1}), // no worker has taken it yet
	}, at))
	require.Equal(t, []int64{2, 1}, []int64{sorted[0].ScrapingJobID, sorted[1].ScrapingJobID})
}

func TestPageShowsWhatAnImportWaitsFor(t *testing.T) {
	h := handler{}
	now := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	until := now.Add(7 * time.Minute)
	waiting := overview.Import{
		ScrapingJobID: 500, Open: true, ProgressKnown: true,
		Progress: workflows.Progress{Step: workflows.StepDownload, WaitsFor: "the API's rate limit", WaitsUntil: &until},
	}
	busy := overview.Import{
		ScrapingJobID: 501, Open: true, ProgressKnown: true,
		Progress: workflows.Progress{Step: workflows.StepDownload}, Activity: &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1},
	}
	var text strings.Builder
	page := overviewPage{frame: frame{Now: now}, Running: h.viewImports([]overview.Import{waiting, busy}, now)}
	require.NoError(t, pages.ExecuteTemplate(&text, "overview.html", page))
	require.Contains(t, text.String(), `Next: waits for the API&#39;s rate limit until <time datetime="2026-01-01T10:07:00Z">2026-01-01 10:07:00 UTC</time> <span class="relative">(7 minutes from now)</span></p>`)
	require.Contains(t, text.String(), `Next: a worker picks up DownloadScrapingJob once it has a free slot (MAX_CONCURRENT_IMPORTS) and room in its spool</p>`)
}

// shown returns the overview as HTML.
func shown(t *testing.T, page overviewPage) string {
	t.Helper()
	var text strings.Builder
	require.NoError(t, pages.ExecuteTemplate(&text, "overview.html", page))
	return text.String()
}

func TestLinksKeepWhatElseThePageShows(t *testing.T) {
	for address, want := range map[string][]string{
		"open=YQ&before=7": {
			`<a href="?before=7&amp;open=YQ&amp;reload=off">stop</a>`,
			`<a href="?before=7">Newest open imports</a>`, `<a href="?before=7&amp;open=Yg">Older open imports</a>`,
			`<a href="?open=YQ#history">Newest imports</a>`, `<a href="?before=3&amp;open=YQ#history">Older imports</a>`,
		},
		"open=YQ&before=7&reload=off": {
			`<a href="?before=7&amp;open=YQ">reload automatically</a>`,
			`<a href="?before=7&amp;reload=off">Newest open imports</a>`, `<a href="?before=3&amp;open=YQ&amp;reload=off#history">Older imports</a>`,
		},
	} {
		query, err := url.ParseQuery(address)
		require.NoError(t, err)
		page := overviewPage{frame: frame{query: query, Paused: query.Has("reload")}, Older: "Yg", history: history{Before: 7, OlderImports: 3}}
		page.reload(false)
		html := shown(t, page)
		for _, link := range want {
			require.Contains(t, html, link, address)
		}
	}
}

func TestPageSaysHowManyImportsWereChecked(t *testing.T) {
	page := overviewPage{First: true, Held: make([]importView, 47), Running: make([]importView, 3)}
	require.NotContains(t, shown(t, page), "too many")
	page.Checked = 50
	require.Contains(t, shown(t, page), "There are too many open imports to check all in time: only the newest 50 were checked for attention.")
}
