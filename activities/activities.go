package activities

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Activities has the activities of an import as its methods. All fields except
// OnPublished, Webhook, RecordHook, MaxConcurrentImports, ImportConnections and those of
// the archive and retention are required. Workflows use a nil *Activities as a typed
// reference.
type Activities struct {
	// Accounts are the accounts of Web Scraper Cloud, by name.
	Accounts map[string]*Account
	// Sink stores the records.
	Sink sink.RecordSink
	// Store keeps everything else, such as abandoned jobs and spools.
	Store *postgres.Store
	// OnPublished, if set, is started for every published import, and Webhook receives
	// every publication. Set the same on all workers.
	OnPublished *FollowUp
	Webhook     *Webhook
	// RecordHook, if set, is called for every record before it is imported.
	RecordHook RecordHook
	// Spool keeps downloaded files until they are imported.
	Spool *Spool
	// MaxConcurrentImports limits how many downloads and imports run concurrently; 0
	// means no limit.
	MaxConcurrentImports int
	// ImportConnections is how many batches an import commits concurrently, each over
	// its own connection; 0 means 1.
	ImportConnections int
	// WorkerTaskQueue is the task queue that only workers on this spool poll.
	WorkerTaskQueue string
	// Archive keeps the files of published imports; nil keeps none. Set the same on all
	// workers.
	Archive *archive.Archive
	// ArchiveRetention is how long the archive keeps a file; 0 means forever.
	ArchiveRetention time.Duration
	// RecordsRetention and KeepImports are as in [postgres.Retention].
	RecordsRetention time.Duration
	KeepImports      int

	slots    *slots
	settling time.Duration // in tests only
}

// Account is an account of Web Scraper Cloud.
type Account struct {
	name   string
	cloud  *webscraper.Client
	ledger *postgres.Ledger
	// Downloads and deletions that come together are in different parts of the
	// account's list.
	downloadChecks, deletionChecks sharedChecks
}

// NewAccount returns an account whose API calls are counted by the ledger.
func NewAccount(name string, cloud *webscraper.Client, ledger *postgres.Ledger) *Account {
	return &Account{name: name, cloud: cloud.WithBudget(ledger), ledger: ledger}
}

// account returns the account with that name, the default account if it is empty.
func (a *Activities) account(name string) (*Account, error) {
	name = cmp.Or(name, sink.DefaultAccount)
	if of, ok := a.Accounts[name]; ok {
		return of, nil
	}
	return nil, accountError{name, finalError{ErrorUnknownAccount, fmt.Sprintf(
		"the workers have no API token for account %q: add it to %s of all workers, or close the import with abandon", name, tokenSetting(name))}}
}

// ListAccounts returns the names of the worker's accounts, sorted.
func (a *Activities) ListAccounts(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(a.Accounts)), nil
}

// tokenSetting returns the worker setting with the account's API token.
func tokenSetting(account string) string {
	if sink.IsNamed(account) {
		return "WEBSCRAPER_API_TOKENS (or its file)"
	}
	return "WEBSCRAPER_API_TOKEN"
}

// registry is the part of a Temporal worker that takes activities.
type registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers all activities under their own names.
func (a *Activities) Register(to registry) {
	if a.slots == nil && a.MaxConcurrentImports > 0 { // the first time
		a.slots = newSlots(a.MaxConcurrentImports)
	}
	for name, method := range map[string]any{
		"DownloadScrapingJob":  a.DownloadScrapingJob,
		"ImportRecords":        a.ImportRecords,
		"RemoveFile":           a.RemoveFile,
		"DeleteScrapingJob":    a.DeleteScrapingJob,
		AbandonScrapingJobName: a.AbandonScrapingJob,
		"RefuseScrapingJob":    a.RefuseScrapingJob,

		"CreateScrapingJob":   a.CreateScrapingJob,
		"SetAnnounced":        a.SetAnnounced,
		"DeliverPublications": a.DeliverPublications,

		"ListAccounts":            a.ListAccounts,
		"FindDueScrapingJobs":     a.FindDueScrapingJobs,
		"ListSpools":              a.ListSpools,
		"SweepSpool":              a.SweepSpool,
		"RemoveUnfinishedImports": a.RemoveUnfinishedImports,
		"BackfillMappedTable":     a.BackfillMappedTable,
	} {
		to.RegisterActivityWithOptions(method, activity.RegisterOptions{Name: name})
	}
}
