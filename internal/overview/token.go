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
	// Imports counts those that wait for the token.
	Imports int `json:"imports"`
}

// tokenKinds are the kinds of problems that all imports of an account have together, with
// what is wrong.
var tokenKinds = map[string]string{
	activities.ErrorTokenRefused:   "Web Scraper Cloud refuses its API token",
	activities.ErrorUnknownAccount: "the workers have no API token of it",
}

// String says in one sentence, without a full stop, what is wrong, what waits and what to do.
func (w WaitingForToken) String() string {
	setting := "WEBSCRAPER_API_TOKENS"
	if w.Account == sink.DefaultAccount {
		setting = "WEBSCRAPER_API_TOKEN"
	}
	waits := fmt.Sprintf("%d imports wait and go on by themselves", w.Imports)
	if w.Imports == 1 {
		waits = "1 import waits and goes on by itself"
	}
	return fmt.Sprintf("account %s: %s; %s once %s of the workers is right", w.Account, tokenKinds[w.Kind], waits, setting)
}

// WaitingForToken returns the accounts whose imports wait for their token, by name, as of
// some seconds ago.
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
				if _, together := tokenKinds[kind]; together && (r.Account == "" || r.Account == account) {
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

// leavesOut reports whether an import is not listed, by its memo: without an account it may
// still be of any.
func (r *Reader) leavesOut(account, problem string) bool {
	_, together := tokenKinds[problem]
	return together && r.Together || r.Account != "" && account != r.Account && account != sink.DefaultAccount
}
