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

// ofAccounts sets the tokens of three accounts and, for "broken", an empty one.
func ofAccounts(o *webhook.Options) {
	o.Tokens = nil
	o.TokensOf = func(account string) []string {
		return map[string][]string{"default": {token}, "acme": {tokenOfAcme, "second-secret-of-acme"}, "globex": {tokenOfGlobex}, "broken": {""}}[account]
	}
}

func TestEachAccountHasItsOwnPathAndTokens(t *testing.T) {
	for _, test := range []struct {
		path, token, account string // the account is "" if the request is refused
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
				require.Equal(t, `{"error":"the token is missing or wrong: the URL must end in ?token=SECRET"}`, answer, "the same answer whether the account exists or not")
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

func TestOnlyKnownAccountsAreNamed(t *testing.T) {
	var c temporal
	counted := &counted{}
	s := serve(t, &c, ofAccounts, func(o *webhook.Options) { o.MetricsHandler = counted })
	for _, path := range []string{"", "/acme", "/initech", "/acme/x", "/in_itech"} {
		_, _ = s.to(t, http.MethodPost, webhook.Path+path+"?token=wrong")
	}
	for answer, want := range map[string]int{"default unauthorized": 1, "acme unauthorized": 1, " unauthorized": 1, " misdirected": 2} {
		require.EqualValues(t, want, counted.of(answer), answer)
	}
	require.Len(t, counted.all, 3*7, "for the default account, acme and none")
	require.NotContains(t, s.log.String(), "initech")
}

func TestTokensAreReadAtEachNotification(t *testing.T) {
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

// Two accounts that report the same job get separate signals: the workflow refuses one of
// them.
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
