package overview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// WaitingForToken is an account whose API token is refused or missing.
type WaitingForToken struct {
	Account string `json:"account"`
	// Kind is a key of tokenKinds.
	Kind string `json:"kind"`
	// Jobs are those whose imports wait for the token, newest first.
	Jobs []int64 `json:"jobs"`
}

// tokenKinds are the problem kinds that affect all imports of an account, with their
// descriptions.
var tokenKinds = map[string]string{
	activities.ErrorTokenRefused:   "Web Scraper Cloud refuses its API token",
	activities.ErrorUnknownAccount: "the workers have no API token for it",
}

// shownJobs is how many IDs a sentence names.
const shownJobs = 10

// Shown returns the first jobs.
func (w WaitingForToken) Shown() (jobs []int64) { return w.Jobs[:min(len(w.Jobs), shownJobs)] }

// More returns how many jobs Shown omits.
func (w WaitingForToken) More() int { return len(w.Jobs) - len(w.Shown()) }

// String returns one sentence, without a period: the problem, what waits, and the fix.
func (w WaitingForToken) String() string {
	setting := "WEBSCRAPER_API_TOKENS"
	if w.Account == sink.DefaultAccount {
		setting = "WEBSCRAPER_API_TOKEN"
	}
	waits, them := fmt.Sprintf("%d imports wait", len(w.Jobs)), "them"
	if len(w.Jobs) == 1 {
		waits, them = "1 import waits", "it"
	}
	return fmt.Sprintf("account %s: %s; %s; once the workers' %s is fixed, reconciliation or starter import retries %s",
		w.Account, tokenKinds[w.Kind], waits, setting, them)
}

// WaitingForToken returns the accounts whose imports wait for their API token, sorted by
// name, as of a few seconds ago.
func (r *Reader) WaitingForToken(ctx context.Context) (waiting []WaitingForToken, err error) {
	type group struct{ account, kind string }
	jobs := map[group][]int64{}
	err = r.mayNeedAttention(func(query string) error {
		for token := []byte(nil); ; {
			runs, next, err := r.listRuns(ctx, query, 1000, token)
			if err != nil {
				return err
			}
			for _, run := range runs {
				account, kind := workflows.Memo(run.GetMemo())
				id, err := strconv.ParseInt(run.GetExecution().GetWorkflowId(), 10, 64)
				if _, grouped := tokenKinds[kind]; err == nil && grouped && (r.Account == "" || r.Account == account) {
					of := group{account, kind}
					jobs[of] = append(jobs[of], id)
				}
			}
			if token = next; len(token) == 0 {
				return nil
			}
		}
	})
	for of, ids := range jobs {
		waiting = append(waiting, WaitingForToken{of.account, of.kind, ids})
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
