package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestBackfillOnATerminalShowsItsProgress(t *testing.T) {
	s := newSystem(t, nil)
	t.Setenv("TERM", "xterm")
	worker := s.StartWorker(s.Spool)
	id, _ := addJob(s, webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(2000, 1)})
	s.WaitForStep(id, workflows.StepHold)
	require.NoError(t, worker.Stop())
	file := filepath.Join(t.TempDir(), "laptops.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`mappings: [{sitemap: laptops, table: laptops, mode: replace-job, columns: [{name: rating, type: integer}, {name: reviews, type: integer, clean: [empty-is-null, first-number]}]}]`), 0o600))
	s.Env = s.Env.With("MAPPINGS", file)
	s.StartWorker(s.Spool)

	lock, err := s.DB.Begin()
	require.NoError(t, err)
	_, err = lock.Exec(`SELECT FROM scrapehaul.scraping_jobs FOR UPDATE`)
	require.NoError(t, err)
	go func() { // until two heartbeats have come, with a refresh in between
		var first time.Time
		s.WaitForAnswer("progress", func() bool {
			there, err := s.Temporal.DescribeWorkflowExecution(t.Context(), "scrapehaul-backfill-laptops", "")
			if err != nil || len(there.GetPendingActivities()) == 0 || there.GetPendingActivities()[0].GetHeartbeatDetails() == nil {
				return false
			}
			heartbeat := there.GetPendingActivities()[0].GetLastHeartbeatTime().AsTime()
			if first.IsZero() {
				first = heartbeat
			}
			return heartbeat.After(first)
		})
		assert.NoError(t, lock.Rollback())
	}()
	code, screen := onTerminal(t, "backfill", "laptops")
	require.Equal(t, program.ExitOK, code, screen)
	require.Regexp(t, `\d\d:\d\d:\d\d  filling table public\.laptops\r?\n`, screen)
	require.Regexp(t, `filling table public\.laptops \[>-+\] 0 of 1 imports, [\d,]+ of 2,000 records`, screen)
	require.Regexp(t, `table public\.laptops: 1 published import with 2,000 records, of which [\d,]+ do not fit\r?\n$`, screen)

	code, _, problems := runStarter("backfill", "books")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, `this worker's mappings file (MAPPINGS) has no mapping for sitemap "books" of account "default"; run starter backfill again to resume`)
}
