package overview

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// WaitingForToken is an account whose API token is refused or missing.
type WaitingForToken struct {
	Account string `json:"account"`
	// Kind is a key of tokenKinds.
	Kind string `json:"kind"`
	// Imports is how many wait for the token.
	Imports int `json:"imports"`
}

// tokenKinds are the problem kinds that affect all imports of an account, with their
// descriptions.
var tokenKinds = map[string]string{
	activities.ErrorTokenRefused:   "Web Scraper Cloud refuses its API token",
	activities.ErrorUnknownAccount: "the workers have no API token for it",
}

// String returns one sentence, without a period: the problem, what waits, and the fix.
func (w WaitingForToken) String() string {
	setting := "WEBSCRAPER_API_TOKENS"
	if w.Account == sink.DefaultAccount {
		setting = "WEBSCRAPER_API_TOKEN"
	}
	waits := fmt.Sprintf("%d imports wait and resume on their own", w.Imports)
	if w.Imports == 1 {
		waits = "1 import waits and resumes on its own"
	}
	return fmt.Sprintf("account %s: %s; %s once the workers' %s is fixed", w.Account, tokenKinds[w.Kind], waits, setting)
}

// WaitingForToken returns the accounts whose imports wait for their API token, sorted by
// name, as of a few seconds ago.
func (r *Reader) WaitingForToken(ctx context.Context) (waiting []WaitingForToken, err error) {
	counts := map[WaitingForToken]int{}
	err = r.mayNeedAttention(func(query string) error {
		for token := []byte(nil); ; {
			runs, next, err := r.listRuns(ctx, query, 1000, token)
			if err != nil {
				return err
			}
			for _, run := range runs {
				account, kind := workflows.Memo(run.GetMemo())
				if _, grouped := tokenKinds[kind]; grouped && (r.Account == "" || r.Account == account) {
					counts[WaitingForToken{Account: account, Kind: kind}]++
				}
			}
			if token = next; len(token) == 0 {
				return nil
			}
		}
	})
	for each, n := range counts {
		each.Imports = n
		waiting = append(waiting, each)
	}
	slices.SortFunc(waiting, func(a, b WaitingForToken) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Kind, b.Kind))
	})
	return waiting, err
}

// omits reports whether its memo excludes an import from the list. An import whose memo has
// no account may belong to any.
func (r *Reader) omits(account, problem string) bool {
	_, grouped := tokenKinds[problem]
	return grouped && r.GroupByAccount || r.Account != "" && account != r.Account && account != sink.DefaultAccount
}
