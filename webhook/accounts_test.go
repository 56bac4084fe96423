package webhook_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

const (
	tokenOfAcme   = "first-secret-of-acme"
	tokenOfGlobex = "first-secret-of-globex"
)

// ofAccounts has tokens of three accounts; "broken" has one that is none.
func ofAccounts(o *webhook.Options) {
	o.Tokens = nil
	o.TokensOf = func(account string) []string {
		return map[string][]string{"default": {token}, "acme": {tokenOfAcme, "second-secret-of-acme"}, "globex": {tokenOfGlobex}, "broken": {""}}[account]
	}
}

func TestEachAccountHasAPathAndTokensOfItsOwn(t *testing.T) {
	for _, test := range []struct {
		path, token, account string // the account is "" when it is refused
	}{
		{"/webhooks/webscraper", token, "default"},
		{"/webhooks/webscraper/default", token, "default"},
		{"/webhooks/webscraper/acme", tokenOfAcme, "acme"},
		{"/webhooks/webscraper/acme/", "second-secret-of-acme", "acme"},
		{"//Webhooks/webscraper//ACME", tokenOfAcme, "acme"},
		{"/webhooks/webscraper%2Facme%20", tokenOfAcme, "acme"},
		{"/webhooks/webscraper/acme/.", tokenOfAcme, "acme"},
		{"/webhooks/webscraper/acme/../globex", tokenOfGlobex, "globex"},
		{"/webhooks/webscraper", tokenOfAcme, ""},
		{"/webhooks/webscraper/acme", token, ""},
		{"/webhooks/webscraper/acme", tokenOfGlobex, ""},
		{"/webhooks/webscraper/acme", "", ""},
		{"/webhooks/webscraper/initech", token, ""},
		{"/webhooks/webscraper/initech", "", ""},
		{"/webhooks/webscraper/broken", "", ""},
		{"/webhooks/webscraper/" + tokenOfAcme, "", ""},
	} {
		t.Run(test.path+" "+test.token, func(t *testing.T) {
			var c temporal
			counted := &counted{}
			s := serve(t, &c, ofAccounts, func(o *webhook.Options) { o.MetricsHandler = counted })
			status, answer := s.to(t, http.MethodPost, test.path+"?token="+test.token)
			if test.account == "" {
				require.Equal(t, http.StatusUnauthorized, status)
				require.Equal(t, `{"error":"the token is missing or wrong: the URL has to end in ?token=SECRET"}`, answer, "one answer, whether there is the account or not")
				require.Empty(t, c.signals)
				return
			}
			require.Equal(t, http.StatusAccepted, status, answer)
			require.Equal(t, test.account, c.signals[0].payload.(workflows.Notification).Account)
			require.Equal(t, test.account, c.signals[0].args[0].(workflows.ImportScrapingJobInput).Account)
			require.EqualValues(t, 1, counted.of(test.account+" accepted"))
			var line struct{ Account string }
			require.NoError(t, json.Unmarshal(s.log.Bytes(), &line))
			require.Equal(t, test.account, line.Account)
		})
	}
}

func TestOnlyAccountsThatAreKnownAreNamed(t *testing.T) {
	var c temporal
	counted := &counted{}
	s := serve(t, &c, ofAccounts, func(o *webhook.Options) { o.MetricsHandler = counted })
	for _, path := range []string{"", "/acme", "/initech", "/acme/x", "/in_itech"} {
		_, _ = s.to(t, http.MethodPost, webhook.Path+path+"?token=wrong")
	}
	for answer, want := range map[string]int{"default unauthorized": 1, "acme unauthorized": 1, " unauthorized": 1, " misdirected": 2} {
		require.EqualValues(t, want, counted.of(answer), answer)
	}
	require.Len(t, counted.all, 3*7, "of the default account, of acme and of none")
	require.NotContains(t, s.log.String(), "initech")
}

func TestTokensAreAskedForAtEachNotification(t *testing.T) {
	var valid atomic.Pointer[[]string]
	valid.Store(&[]string{tokenOfAcme})
	var c temporal
	s := serve(t, &c, ofAccounts, func(o *webhook.Options) {
		o.TokensOf = func(string) []string { return *valid.Load() }
	})
	const acme = "/webhooks/webscraper/acme?token="
	for _, want := range []struct {
		tokens   []string
		old, new int
	}{
		{[]string{tokenOfAcme}, 202, 401},
		{[]string{tokenOfAcme, "later-secret-of-acme"}, 202, 202},
		{[]string{"later-secret-of-acme"}, 401, 202},
		{nil, 401, 401},
	} {
		valid.Store(&want.tokens)
		status, _ := s.to(t, http.MethodPost, acme+tokenOfAcme)
		require.Equal(t, want.old, status)
		status, _ = s.to(t, http.MethodPost, acme+"later-secret-of-acme")
		require.Equal(t, want.new, status)
	}
}

// Each of two accounts that tell of one job has its signal: the workflow says which is
// refused.
func TestAccountsDoNotShareASignal(t *testing.T) {
	untilQuiet(t, func(t *testing.T) {
		var c temporal
		r := receive(t, &c, ofAccounts)
		for _, path := range []string{"/acme?token=" + tokenOfAcme, "/globex?token=" + tokenOfGlobex, "/acme?token=" + tokenOfAcme} {
			r.all.Go(func() { require.Equal(t, http.StatusAccepted, r.postTo(t.Context(), webhook.Path+path)) })
			synctest.Wait()
		}
		r.all.Wait()
		var accounts []string
		for _, each := range c.signals {
			accounts = append(accounts, each.payload.(workflows.Notification).Account)
		}
		require.Equal(t, "acme globex acme", strings.Join(accounts, " "))
	})
}
