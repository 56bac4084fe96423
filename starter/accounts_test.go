package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

const (
	acmeToken  = "acme-token-zx91"
	wrongToken = "wrong-token-zx92"
)

func TestUnreadableAccountDoesNotHideOthers(t *testing.T) {
	cloud, db := migrated(t, webscrapertest.Options{Tokens: []string{acmeToken}})
	t.Setenv("WEBSCRAPER_API_TOKENS", "acme="+acmeToken+",globex="+wrongToken)
	cloud.AddJob(webscrapertest.Job{ID: 1, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	publish(t, db, sink.ScrapingJob{ScrapingJobID: 1, Account: sink.DefaultAccount, Status: "finished", StoredRecordCount: 20})

	code, out, problems := runStarter("account")
	require.Equal(t, program.ExitFailed, code)
	require.Regexp(t, `(?s)^acme:\naccount +.*window +.*\ndefault:\naccount +.*\nglobex:\nwindow +`, out)
	require.Contains(t, problems, "account globex: ")
	require.Contains(t, problems, "401 Unauthorized")
	require.Contains(t, problems, "Web Scraper Cloud refuses its token in WEBSCRAPER_API_TOKENS given here: use the one on its API page")
	require.NotContains(t, out+problems, wrongToken)
	code, out, problems = runStarter("account", "--account", "acme")
	require.Equal(t, program.ExitOK, code, problems)
	require.NotContains(t, out, "acme:")

	// The fake has one account behind all tokens: a job reported by a second one is refused.
	code, out, problems = runStarter("jobs")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "account globex: ")
	require.Regexp(t, `^JOB +ACCOUNT +SITEMAP .*\n1 +acme +shop .* no, account default has this ID *\n1 +default +shop .* 1 \(1 rejected\)`, out)
	code, out, problems = runStarter("jobs", "--account", "default")
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `^JOB +SITEMAP `, out)
	for _, account := range []string{"umbrella", "Acme"} {
		code, _, problems = runStarter("jobs", "--account", account)
		require.Equal(t, program.ExitSettings, code)
		programtest.RequireProblems(t, "starter", problems, `there is no API token for account "`+account+`": want one of acme, default, globex`)
	}
}

func TestOperatorSeesAccounts(t *testing.T) {
	s := newSystem(t, map[string]string{"WEBSCRAPER_API_TOKENS": "acme=" + acmeToken + ",globex=" + wrongToken}, func(o *webscrapertest.Options) {
		o.Tokens = append(o.Tokens, acmeToken)
	})
	s.Secrets = append(s.Secrets, acmeToken, wrongToken)
	t.Setenv("WEBSCRAPER_API_TOKENS", s.Env.Settings["WEBSCRAPER_API_TOKENS"])
	s.StartWorker(s.Spool)
	start := func(account string) (id int64, argument string) {
		id = s.Cloud.AddJob(webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(20, 1)})
		argument = workflows.WorkflowID(id)
		code, _, problems := runStarter("import", "--account", account, argument)
		require.Equal(t, program.ExitOK, code, problems)
		return id, argument
	}
	ours, _ := held(s)
	theirs, theirsText := start("acme")
	s.WaitForStep(theirs, workflows.StepHold)
	var refused []string
	for range 2 {
		id, argument := start("globex")
		s.Attention(id)
		refused = append(refused, argument)
	}
	const once = "account globex: Web Scraper Cloud refuses its API token; 2 imports wait; once the workers' WEBSCRAPER_API_TOKENS is fixed, reconciliation or starter import retries them"
	var out string
	s.WaitFor("the imports in Temporal's visibility", func() bool {
		_, out, _ = runStarter("list")
		return strings.Count(out, "holding") == 2 && strings.Count(out, "needs-attention") == 2
	})
	const head = `^JOB +ACCOUNT +SITEMAP .*\n`
	require.Regexp(t, head+refused[1]+` +globex .*\n`+refused[0]+` +globex .*\n`+
		theirsText+` +acme +laptops +holding .*\n`+workflows.WorkflowID(ours)+` +default +laptops +holding .*\n$`, out)
	code, out, _ := runStarter("list", "--needs-attention")
	require.Equal(t, program.ExitAttention, code)
	require.Equal(t, once+": "+refused[1]+" "+refused[0]+"\n", out, "and no table")
	_, out, _ = runStarter("list", "--account", "globex")
	require.Regexp(t, head+refused[1]+` +globex .*refuses.*\n`+refused[0]+` +globex `, out)
	_, out, _ = runStarter("list", "--account", "default")
	require.Regexp(t, `^JOB +SITEMAP .*\n`+workflows.WorkflowID(ours)+` .*\n$`, out)
	_, out, _ = runStarter("list", "--json")
	var listed []struct {
		Account        string `json:"account"`
		NeedsAttention bool   `json:"needs_attention"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &listed))
	require.Len(t, listed, 4, "JSON has all of them")
	require.Equal(t, "globex", listed[0].Account)
	require.True(t, listed[0].NeedsAttention)
	_, out, _ = runStarter("status", theirsText)
	require.Regexp(t, `\naccount +acme\n`, out)

	code, out, problems := runStarter("reconcile", "--dry-run")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, out, "jobs are due: nothing started\n")
	require.Contains(t, problems, "account globex: its jobs were not checked: ")
	code, _, problems = runStarter("reconcile", "--dry-run", "--account", "acme")
	require.Equal(t, program.ExitOK, code, problems)

	// The doctor checks each account, and what is left of removed ones.
	_, out, _ = runDoctor(t, acmeToken, wrongToken)
	require.Contains(t, out, "ok    account default: Web Scraper Cloud accepts WEBSCRAPER_API_TOKEN given here (the workers may have another), page credits: ")
	require.Contains(t, out, "ok    account acme: Web Scraper Cloud accepts its token in WEBSCRAPER_API_TOKENS given here (the workers may have another), page credits: ")
	require.Regexp(t, `\nok    account acme: the window of API calls: \d+ calls made here and \d+ elsewhere, of 200 until `, out)
	require.Contains(t, out, "fix   account globex: Web Scraper Cloud refuses its token in WEBSCRAPER_API_TOKENS given here: ")
	require.Contains(t, out, "hint  2 open imports need attention: TokenRefused 2 (starter list --needs-attention)\n")
	require.NoError(t, postgres.NewStore(s.DB, nil).Refuse(t.Context(), ours, "umbrella"))
	t.Setenv("WEBSCRAPER_API_TOKENS", "")
	_, out, _ = runDoctor(t)
	require.Contains(t, out, "fix   account acme is not in the settings here; its jobs in the database: 1, open imports, which wait for its API token: 1: ")
	require.Contains(t, out, "fix   account globex is not in the settings here; its jobs in the database: 0, open imports, which wait for its API token: 2: ")
	require.Contains(t, out, "fix   scraping jobs reported by account umbrella in the last 24 hours and refused because account default has published jobs with these IDs: "+workflows.WorkflowID(ours)+": ")
}
