package statuspage_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/browsertest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// tabTo presses Tab until the element with this text has the focus, and requires that the
// focus is visible.
func (s *site) tabTo(tab *browsertest.Tab, text string) {
	s.T.Helper()
	const maxPresses = 60
	for range maxPresses {
		require.NoError(s.T, tab.Press(browsertest.TabKey))
		focus, err := browsertest.Evaluate[struct {
			Text    string `json:"text"`
			Outline string `json:"outline"`
		}](tab, `({text: document.activeElement.textContent.trim(), outline: getComputedStyle(document.activeElement).outlineStyle})`)
		require.NoError(s.T, err)
		if focus.Text == text {
			require.Equal(s.T, "solid", focus.Outline)
			return
		}
	}
	require.Fail(s.T, "not reached by Tab", text)
}

// enter presses Enter on the focused element and waits for the page it leads to.
func (s *site) enter(tab *browsertest.Tab, heading string) {
	s.T.Helper()
	require.NoError(s.T, tab.Press(browsertest.Enter))
	s.WaitFor(heading, func() bool {
		// During navigation the evaluation may fail.
		found, err := browsertest.Evaluate[string](tab, `document.readyState === "complete" ? document.querySelector("h1").textContent : ""`)
		return err == nil && found == heading
	})
}

func TestOperatorAcceptsWithTheKeyboardOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.StartWorker(s.Spool)
	id := s.addRejecting("tires-and-wheels")
	s.Notify(id)
	s.Attention(id)
	tab := s.browser()
	number := workflows.WorkflowID(id)
	var text string
	s.WaitFor("the import in Temporal's visibility", func() bool {
		text = s.goTo(tab, "")
		return strings.Contains(text, "Needs attention")
	})
	require.Contains(t, text, "1 record was rejected")
	require.Less(t, strings.Index(text, "Needs attention"), strings.Index(text, "Running"))
	require.NotContains(t, text, "Delete now", "it has no effect here")
	require.NotContains(t, text, "reloads every", "the buttons stay where they are")

	s.tabTo(tab, number)
	s.enter(tab, "Scraping job "+number)
	text = s.text(tab)
	require.Contains(t, text, "not a JSON object but an array")
	require.Contains(t, text, `["<script>alert(1)</script>"]`)
	s.tabTo(tab, "Accept…")
	s.enter(tab, "Accept scraping job "+number+"?")
	require.Contains(t, s.text(tab), "lets the job be deleted in the cloud, with 1 of its ")
	require.Equal(t, workflows.StepNeedsAttention, s.Progress(id).Step, "it only asks for confirmation")
	s.tabTo(tab, "Accept")
	s.enter(tab, "Scraping job "+number)
	require.Contains(t, s.text(tab), "Accept was sent to the import of scraping job "+number)

	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	require.True(t, s.Cloud.Deleted(id))
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1 AND cloud_deleted_at IS NOT NULL`, id))
	require.Contains(t, s.goTo(tab, "/"+number), "Deleted")
	s.WaitFor("the log", func() bool { return strings.Contains(s.Log.String(), `"msg":"Signal sent"`) })
}

func TestRunningImportShowsProgress(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(100_000, 1)})
	s.drip(id)
	s.Notify(id)
	t.Cleanup(func() { s.terminate(id) })
	tab := s.browser()
	const bar = `document.querySelector("progress")?.position ?? -1`
	position := func() float64 {
		s.goTo(tab, "")
		at, err := browsertest.Evaluate[float64](tab, bar)
		require.NoError(t, err)
		return at
	}
	var first float64
	s.WaitFor("a progress bar", func() bool {
		first = position()
		return first > 0
	})
	text := s.text(tab)
	for _, part := range []string{"laptops", "downloading", "the records are imported", "B of 52 MB", "B/s", "left", "reloads every 10 s"} {
		require.Contains(t, text, part)
	}
	s.WaitFor("progress", func() bool { return position() > first })
	links, err := browsertest.Evaluate[string](tab, `[...document.querySelectorAll("a")].map(a => a.href).join("\n")`)
	require.NoError(t, err)
	require.Contains(t, links, "http://127.0.0.1:8233/namespaces/"+s.Env.TemporalNamespace+"/workflows/"+workflows.WorkflowID(id)+"/"+
		s.Runs(id)[0].GetExecution().GetRunId())
	// The viewer can stop the reloading.
	require.NotContains(t, s.goTo(tab, "?reload=off"), "reloads every")
}

func TestPageWorksWithoutWorkerTemporalOrPostgreSQL(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	s.Notify(id)
	v := s.visitor()
	// No worker has created the schema yet, and none reports the progress.
	s.WaitFor("the open import", func() bool { return strings.Contains(v.get("").body, "No worker reports the progress") })
	require.Contains(t, v.get("").body, "<strong>PostgreSQL has been unavailable</strong> since <time")
	s.StartWorker(s.Spool)
	s.WaitForStep(id, workflows.StepHold)
	s.WaitFor("the complete page", func() bool {
		body := v.get("").body
		return !strings.Contains(body, "unavailable") && strings.Contains(body, "held before deletion")
	})
	s.WaitFor("the log", func() bool {
		return strings.Contains(s.Log.String(), `"msg":"Status page source available again","source":"PostgreSQL"`)
	})
}
