package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestMain(m *testing.M) { systemtest.Main(m) }

func TestEveryPublishRefreshesThePrices(t *testing.T) {
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "24h", "ON_PUBLISHED": "RefreshPrices@prices"})
	s.StartWorker(s.Spool)
	program := filepath.Join(t.TempDir(), "followup")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	log := new(programtest.Log)
	followUp, err := childprocess.Start(childprocess.Command{Path: program, Env: s.Env.Variables(), Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, followUp.Stop()) })

	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	refreshed := func(rows int64) {
		t.Helper()
		s.WaitForAnswer("the prices", func() bool {
			var now int64
			err := s.DB.Get(&now, `SELECT count(*) FROM prices WHERE scrapingjob_id = $1 AND price <> ''`, id)
			return err == nil && now == rows // the table is the example's
		})
	}
	s.Notify(id)
	refreshed(20)
	require.NoError(t, s.Cloud.Continue(id, webscrapertest.Products(30, 2)))
	require.NoError(t, s.Cloud.Finish(t.Context(), id, "finished"))
	refreshed(30)
}
