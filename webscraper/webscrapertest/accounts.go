package webscrapertest

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
)

// AddAccount adds another account at the same URL: a Cloud with its own tokens, jobs,
// sitemaps, rate limit, page credits, faults and webhook. All accounts share one sequence
// of IDs, except those that [Cloud.AddJob] is given. It panics on a token that is or was
// another account's.
func (c *Cloud) AddAccount(options Options) *Cloud {
	account := New(options)
	account.URL, account.jobIDs, account.sitemapIDs = c.URL, c.jobIDs, c.sitemapIDs
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, token := range account.known {
		if slices.Contains(c.known, token) || c.accountOf(token) != c {
			panic("webscrapertest: AddAccount: one of the Tokens is another account's")
		}
	}
	c.accounts = append(c.accounts, account)
	return account
}

// SetTokens replaces the account's tokens, as a token rotation does. With none, the API
// accepts no token of the account.
func (c *Cloud) SetTokens(tokens ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens, c.known = tokens, slices.Concat(c.known, tokens)
}

// accountOf returns the account that a token belongs or belonged to, or c. The caller
// holds c.mu.
func (c *Cloud) accountOf(token string) *Cloud {
	for _, account := range c.accounts {
		account.mu.Lock()
		known := slices.Contains(account.known, token)
		account.mu.Unlock()
		if known {
			return account
		}
	}
	return c
}

func (c *Cloud) all() []*Cloud {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Cloud{c}, c.accounts...)
}

func (c *Cloud) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		valid := slices.Contains(c.tokens, r.URL.Query().Get("api_token"))
		c.mu.Unlock()
		if !valid {
			c.limit.setHeaders(w.Header(), c.options.Clock())
			writeError(w, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ids is the sequence of IDs of all accounts' jobs, or sitemaps.
type ids struct {
	mu   sync.Mutex
	last int64
}

// take returns id, or the next one for 0.
func (i *ids) take(id int64) int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	id = cmp.Or(id, i.last+1)
	i.last = max(i.last, id)
	return id
}
