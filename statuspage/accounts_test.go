package statuspage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// notifyOf sends a notification to the webhook of an account.
func (s *site) notifyOf(account string, ids ...int64) {
	s.T.Helper()
	for _, id := range ids {
		_, err := workflows.Notify(s.T.Context(), s.Temporal, workflows.DefaultTaskQueue,
			workflows.Notification{ScrapingJobID: id, Account: account}, workflows.DefaultInstallation().Settings)
		require.NoError(s.T, err)
	}
}

func TestAccountWhoseTokenIsRefusedIsShownOnce(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens")
	setTokens := func(text string) { require.NoError(t, os.WriteFile(tokens, []byte(text), 0o600)) }
	setTokens("acme=acme-token-zx91")
	s := newSite(t, map[string]string{"WEBSCRAPER_API_TOKENS_FILE": tokens}, func(o *webscrapertest.Options) {
		o.Tokens = append(o.Tokens, "acme-token-zx92")
	})
	s.Secrets = append(s.Secrets, "acme-token-zx91", "acme-token-zx92")
	s.StartWorker(s.Spool)
	add := func(sitemap string) int64 {
		return s.Cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Records: webscrapertest.Products(20, 1)})
	}
	ours := s.addRejecting("tires-and-wheels")
	s.Notify(ours)
	s.Attention(ours)
	var refused []int64
	for range 3 {
		refused = append(refused, add("laptops"))
	}
	s.notifyOf("acme", refused...)
	unknown := add("phones")
	s.notifyOf("globex", unknown)
	for _, id := range append(refused, unknown) {
		s.Attention(id)
	}

	tab := s.browser()
	// An import of the default account, in addition to the others.
	kept := add("tablets")
	s.Notify(kept)
	s.WaitForStep(kept, workflows.StepHold)
	const acme = "ccount acme: Web Scraper Cloud refuses its API token; 3 imports wait; once the workers' WEBSCRAPER_API_TOKENS is fixed, reconciliation or starter import retries them."
	const globex = "ccount globex: the workers have no API token for it; 1 import waits; once the workers' WEBSCRAPER_API_TOKENS is fixed, reconciliation or starter import retries it."
	var text string
	s.WaitFor("the accounts in Temporal's visibility, and a worker's answers", func() bool {
		text = s.goTo(tab, "")
		return strings.Contains(text, acme) && strings.Contains(text, globex) && strings.Contains(text, "1 record was rejected")
	})
	require.Equal(t, 1, strings.Count(text, "refuses"), text)
	require.NotContains(t, text, "laptops")
	for _, id := range append(refused, unknown) {
		require.Equal(t, 1, strings.Count(text, workflows.WorkflowID(id)), "a link")
	}
	alone := s.goTo(tab, "/"+workflows.WorkflowID(refused[0]))
	require.Contains(t, alone, "Account\nacme")

	setTokens("acme=acme-token-zx92")
	for _, id := range refused {
		s.Signal(id, workflows.ReimportSignal)
		s.WaitForStep(id, workflows.StepHold)
	}
	s.WaitFor("the imports of the account", func() bool {
		text = s.goTo(tab, "")
		return !strings.Contains(text, acme) && strings.Count(text, "laptops acme") == 6
	})
	require.Contains(t, text, globex)
	s.requireReadable(tab, "accounts", "")
}
