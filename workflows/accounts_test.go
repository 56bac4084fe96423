package workflows_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// importOf runs the import of an account's job to completion.
func (w *world) importOf(t *testing.T, account, hold string) (result workflows.ImportScrapingJobResult) {
	t.Helper()
	w.settings.HoldBeforeDelete = hold
	return w.resume(t, workflows.ImportScrapingJobInput{ScrapingJobID: jobID, Account: account, Settings: w.settings})
}

func sorted(refusals []activities.RefuseScrapingJobInput) []activities.RefuseScrapingJobInput {
	return slices.SortedFunc(slices.Values(refusals), func(a, b activities.RefuseScrapingJobInput) int { return cmp.Compare(a.Account, b.Account) })
}

func (w *world) notifyAfter(delay time.Duration, account string) {
	w.RegisterDelayedCallback(func() {
		w.SignalWorkflow(workflows.NotificationSignal, workflows.Notification{ScrapingJobID: jobID, Account: account, Status: "finished"})
	}, delay)
}

func TestSignalsOfAnotherAccountAreRefusedAndTheImportContinues(t *testing.T) {
	w := newWorld(t, "finished")
	w.notifyAfter(time.Hour, "globex")
	w.RegisterDelayedCallback(func() {
		w.SignalWorkflow(workflows.ReconciliationSignal, sink.ScrapingJob{ScrapingJobID: jobID, Account: "globex", StoredRecordCount: 7})
		w.SignalWorkflow(workflows.ReimportSignal, workflows.Notification{ScrapingJobID: jobID, Account: "default"})
	}, 2*time.Hour)
	w.notifyAfter(3*time.Hour, "acme")
	w.notifyAfter(3*time.Hour, "No Account") // sent manually, with an invalid account
	result := w.importOf(t, "acme", "24h")
	require.Equal(t, workflows.Deleted, result.Outcome)
	require.Equal(t, "acme", result.Account)
	require.Equal(t, []activities.RefuseScrapingJobInput{
		{ScrapingJobID: jobID, Account: "default", Owner: "acme"}, {ScrapingJobID: jobID, Account: "globex", Owner: "acme"},
		{ScrapingJobID: jobID, Account: "globex", Owner: "acme"},
	}, sorted(w.refusals))
	require.Len(t, w.imports, 1)
	require.Equal(t, 3, w.described, "at the start, for acme's notification, and for the one without an account")
	require.InDelta(t, (24 * time.Hour).Seconds(), w.deletions[0].Seconds(), 60)
	require.Equal(t, "acme", w.deletes[0].Job.Account)
}

func TestRunStaysOpenUntilARefusalIsRecorded(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDelete = func(*activities.DeleteScrapingJobResult) {
		w.SignalWorkflow(workflows.NotificationSignal, workflows.Notification{ScrapingJobID: jobID, Account: "globex", Status: "finished"})
	}
	for range 2 { // the second attempt runs when nothing else is left to do
		w.refuseFails = append(w.refuseFails, temporal.NewApplicationError("the database restarts", "DatabaseUnavailable"))
	}
	require.Equal(t, workflows.Deleted, w.importOf(t, "acme", "0").Outcome)
	require.Len(t, w.refusals, 1)
	require.Empty(t, w.refuseFails)
	require.Equal(t, 1, w.described)
}

func TestJobPublishedByAnotherAccountIsRefused(t *testing.T) {
	for name, input := range map[string]workflows.ImportScrapingJobInput{
		"notified":         {ScrapingJobID: jobID, Account: "globex"},
		"run by a sitemap": {ScrapingJobID: jobID, Account: "globex", AwaitEnd: true},
		"default account":  {ScrapingJobID: jobID, Account: sink.DefaultAccount},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 9, Counts: sink.Counts{Records: 20}}
			w.published.Account = "acme"
			result := w.resume(t, input)
			require.Equal(t, workflows.ImportScrapingJobResult{
				ScrapingJobID: jobID, Account: input.Account, Outcome: workflows.Refused,
				Reason: activities.RefusedReason(jobID, input.Account, "acme"),
			}, result, "nothing about acme's import")
			require.Empty(t, w.imports)
			require.Empty(t, w.deletes)
		})
	}
}

func TestAccountDefaultsToThatOfThePublishedImport(t *testing.T) {
	w := newWorld(t, "finished")
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 9, Counts: sink.Counts{Records: 20}}
	w.published.Account, w.published.StoredRecordCount = "acme", 10
	w.notifyAfter(time.Hour, "globex")
	w.notifyAfter(time.Hour, "acme")
	require.Equal(t, "acme", w.importOf(t, "", "24h").Account)
	require.Empty(t, w.downloads[0].Account)
	require.Equal(t, "acme", w.downloads[1].Account)
	require.Equal(t, "acme", w.imports[0].Job.Account)
	require.Equal(t, "acme", w.deletes[0].Job.Account)
	require.Len(t, w.refusals, 1)
}

// A notification may arrive while a manual re-import checks the default account for the job.
func TestAccountNamedByASignalIsCheckedNext(t *testing.T) {
	w := newWorld(t, "finished")
	w.found = false
	w.onDescribe = func() {
		if w.described == 1 {
			w.SignalWorkflow(workflows.NotificationSignal, workflows.Notification{ScrapingJobID: jobID, Account: "acme", Status: "finished"})
			return
		}
		w.found = true
	}
	result := w.importOf(t, "", "0")
	require.Equal(t, workflows.Deleted, result.Outcome)
	require.Equal(t, "acme", result.Account)
	require.Equal(t, "acme", w.downloads[1].Account)
	require.Empty(t, w.refusals)
}

func TestImportOfAnEarlierBuildBelongsToTheDefaultAccount(t *testing.T) {
	w := newWorld(t, "finished")
	w.earlierBuild = true
	w.notifyAfter(time.Hour, "acme")
	w.RegisterDelayedCallback(func() { w.earlierBuild = false }, 90*time.Minute)
	w.notifyAfter(2*time.Hour, sink.DefaultAccount)
	require.Equal(t, workflows.Deleted, w.importOf(t, "", "24h").Outcome)
	require.Equal(t, []activities.RefuseScrapingJobInput{{ScrapingJobID: jobID, Account: "acme", Owner: sink.DefaultAccount}}, w.refusals)
	require.Len(t, w.imports, 1)

	// It may have continued in a new run.
	w = newWorld(t, "finished")
	w.earlierBuild = true
	w.RegisterDelayedCallback(func() { w.isLongWith(workflows.NotificationSignal) }, time.Hour)
	next, in := w.continued(t, "24h")
	in.Account = ""
	next.notifyAfter(time.Hour, "acme")
	require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome)
	require.Len(t, next.refusals, 1)
}

func TestContinuedRunKeepsTheAccount(t *testing.T) {
	w := newWorld(t, "finished")
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 9, Counts: sink.Counts{Records: 20}}
	w.published.Account = "acme"
	w.RegisterDelayedCallback(func() { w.isLongWith(workflows.NotificationSignal) }, time.Hour)
	next, in := w.continued(t, "24h")
	require.Equal(t, "acme", in.Account, "as learned")
	require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome)
	require.Equal(t, "acme", next.deletes[0].Job.Account)
	require.Equal(t, "acme", next.downloads[0].Account)
}

func noToken(account string) error {
	return temporal.NewNonRetryableApplicationError("the workers have no API token for account "+account, activities.ErrorUnknownAccount, nil, account)
}

// The account may be removed from the settings during the hold.
func TestImportOfAnAccountWithoutATokenWaitsForIt(t *testing.T) {
	w := newWorld(t, "finished")
	gone, memos := true, []map[string]any{}
	w.deleteFails = func() error {
		if gone {
			return noToken("acme")
		}
		return nil
	}
	w.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		memos = append(memos, args.Get(0).(map[string]any))
	}).Return(nil)
	w.RegisterDelayedCallback(func() { gone = false }, 50*time.Hour)
	w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.ReconciliationSignal, nil) }, 51*time.Hour)
	result := w.importOf(t, "acme", "24h")
	require.Equal(t, workflows.Deleted, result.Outcome)
	require.InDelta(t, (51 * time.Hour).Seconds(), w.deletions[0].Seconds(), 60)
	require.Len(t, w.imports, 1)
	require.Equal(t, []map[string]any{
		{workflows.AttentionMemo: activities.ErrorUnknownAccount, workflows.AccountMemo: "acme"},
		{workflows.AttentionMemo: nil, workflows.AccountMemo: "acme"},
	}, memos)
}

// If the account of the published import has no token, the failure names the account.
func TestAccountIsLearnedFromAFailure(t *testing.T) {
	w := newWorld(t, "finished")
	failing := true
	w.onDownload = func() error {
		if failing {
			failing = false
			return noToken("acme")
		}
		return nil
	}
	w.notifyAfter(time.Hour, "globex")
	w.notifyAfter(2*time.Hour, "acme")
	require.Equal(t, "acme", w.importOf(t, "", "0").Account)
	require.Len(t, w.refusals, 1)
}

func TestReconciliationRetriesTokenProblems(t *testing.T) {
	for _, kind := range []string{activities.ErrorTokenRefused, activities.ErrorUnknownAccount} {
		require.Contains(t, workflows.ProblemKinds(), kind)
		w := newWorld(t, "finished")
		w.onDownload = func() error {
			if len(w.downloads) == 1 {
				return temporal.NewNonRetryableApplicationError("no", kind, nil, sink.DefaultAccount)
			}
			return nil
		}
		w.reconcileEvery(15*time.Minute, 1)
		require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	}
}

func TestAccountsAreReconciledConcurrently(t *testing.T) {
	a := newAccount(due(1), due(2))
	a.accounts = []string{"acme", "default", "globex", "initech"}
	started := a.Now()
	a.waitsOf = map[string][]time.Duration{"acme": {9 * time.Minute}, "initech": {14 * time.Minute}}
	a.fails = func(account string) error {
		if account == "globex" {
			return noToken(account)
		}
		return nil
	}
	read := map[string]time.Duration{} // when each list was last read
	a.onList = func(in activities.FindDueScrapingJobsInput) {
		read[in.Account] = a.Now().Sub(started).Round(time.Minute)
	}
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.Equal(t, []workflows.FailedAccount{{Account: "globex", Reason: "the workers have no API token for account globex"}}, result.FailedAccounts)
	require.Equal(t, map[string]int64{"globex": 1}, a.failed, "for the alert: the run succeeds")
	require.Equal(t, []string{"initech"}, result.UnderWay)
	require.Equal(t, 400, result.Listed)
	require.Equal(t, 4, result.Due)
	require.Equal(t, 10, result.TriedAgain)
	require.ElementsMatch(t, []string{"acme", "default", "initech"}, a.triedAgain, "initech's run continues")
	require.Equal(t, map[string]time.Duration{"acme": 9 * time.Minute, "default": 0, "globex": 0, "initech": 14 * time.Minute}, read, "each waits for its own window alone")
	require.Equal(t, 1, a.removals)
}

func TestFailureOfTheDefaultAccountIsReported(t *testing.T) {
	a := newAccount(due(1))
	a.accounts = []string{"acme", "default"}
	a.fails = func(account string) error {
		if account == "default" {
			return noToken(account)
		}
		return nil
	}
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.Equal(t, []workflows.FailedAccount{{Account: "default", Reason: "the workers have no API token for account default"}}, result.FailedAccounts)
	require.Equal(t, 1, result.Due)
}

func TestOnlyTheRequestedAccountIsReconciled(t *testing.T) {
	a := newAccount(due(1))
	a.accounts = []string{"acme", "default", "globex"}
	a.fails = noToken
	a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, workflows.ReconcileScrapingJobsInput{Account: "globex"})
	var failure *temporal.ApplicationError
	require.ErrorAs(t, a.GetWorkflowError(), &failure)
	require.Equal(t, activities.ErrorUnknownAccount, failure.Type())
	require.Len(t, a.lists, 1)
	require.Zero(t, a.removals)
}

func TestInstallationWithoutADefaultAccountReconcilesTheOthers(t *testing.T) {
	a := newAccount(due(1))
	a.accounts = []string{"acme", "globex"}
	require.Equal(t, 2, a.reconcile(t, workflows.ReconcileScrapingJobsInput{}).Due)
	require.Len(t, a.lists, 2)
	require.Equal(t, 1, a.removals)
}

// It may have been started by a build without accounts.
func TestLongReconciliationContinuesWithItsAccount(t *testing.T) {
	for _, account := range []string{"", "acme"} {
		a := newAccount(due(1), due(2), due(3))
		a.accounts = []string{"acme"}
		a.onList = func(in activities.FindDueScrapingJobsInput) { a.SetContinueAsNewSuggested(in.Page == 2) }
		a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, workflows.ReconcileScrapingJobsInput{Account: account})
		var again *workflow.ContinueAsNewError
		require.ErrorAs(t, a.GetWorkflowError(), &again)
		var in workflows.ReconcileScrapingJobsInput
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
		require.Equal(t, "acme", in.Account)
		require.Equal(t, 3, in.Page)
	}
}

// Whatever the account's name, including the default one.
func TestAccountWaitingForItsWindowDelaysNoNextRun(t *testing.T) {
	for _, slow := range []string{"-", "default"} {
		a := newAccount(due(1))
		a.accounts = []string{"-", "default"}
		a.waitsOf = map[string][]time.Duration{slow: {14 * time.Minute}}
		result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
		require.Equal(t, []string{slow}, result.UnderWay)
		require.Equal(t, 1, result.Due)
	}
}

func TestOnlyImportsOfReadAccountsAreRetried(t *testing.T) {
	a := newAccount(nil)
	a.accounts = []string{"acme", "default", "globex"}
	a.fails = func(account string) error {
		if account == "acme" {
			return noToken(account)
		}
		return nil
	}
	a.temporal = &signals{
		open: map[string]string{
			"1": activities.ErrorTokenRefused, "2": activities.ErrorUnknownAccount, "3": activities.ErrorTokenRefused,
			"4": activities.ErrorOther, "5": activities.ErrorOther, "6": activities.ErrorOther, "7": activities.ErrorOther,
		},
		account: map[string]string{"1": "acme", "2": "globex", "4": "acme", "5": "globex", "7": encrypted},
	}
	require.Equal(t, 6, a.reconcile(t, workflows.ReconcileScrapingJobsInput{}).TriedAgain)
	require.ElementsMatch(t, []string{"2", "3", "5", "6", "7", "7"}, a.temporal.sent, "once, except if the account is unreadable")
}

func TestReconciliationStartsImportsForTheirAccount(t *testing.T) {
	a := newAccount([]activities.DueScrapingJob{{Job: sink.ScrapingJob{ScrapingJobID: 7, Account: "globex", Status: "finished"}}})
	a.temporal = &signals{}
	a.accounts = []string{"globex"}
	a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.Equal(t, "globex", a.temporal.started["7"].Account)
	require.Equal(t, "globex", a.temporal.memos["7"][workflows.AccountMemo])
}

func TestRunSitemapOfANamedAccount(t *testing.T) {
	s := newScraping(t)
	job := scraped("finished", contract.Published)
	job.Account = "acme"
	s.reports(job)
	result, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.Account = "acme" }))
	require.NoError(t, err)
	require.Equal(t, "acme", result.Account)
	require.Equal(t, "acme", s.created[0].Account)
	require.Equal(t, "acme", s.imports[0].Account)

	_, err = newScraping(t).run(sitemap(func(in *workflows.RunSitemapInput) { in.Account = "Acme Inc." }))
	require.ErrorContains(t, err, `account names the account "Acme Inc."`)
}

// Two names for one account of Web Scraper Cloud have the same jobs.
func TestRunSitemapFailsIfAnotherAccountImportsTheJob(t *testing.T) {
	s := newScraping(t)
	job := scraped("finished", contract.Published)
	job.Account = "globex"
	s.reports(job)
	_, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.Account = "acme" }))
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, contract.ErrorNotPublished, failure.Type())
	require.ErrorContains(t, err, activities.RefusedReason(501, "acme", "globex"))
}

// A re-import of a deleted job need not name the account.
func TestRestoredJobKeepsItsAccount(t *testing.T) {
	w := newGoneJob(t)
	w.published.Account, w.archived.Account = "acme", "acme"
	result := w.importOf(t, "", "24h")
	require.Equal(t, workflows.Restored, result.Outcome)
	require.Equal(t, "acme", result.Account)
	require.Equal(t, "acme", w.imports[0].Job.Account)
}

func TestInstallationUsesRegisteredSearchAttributes(t *testing.T) {
	var settings workflows.Settings
	settings.UseSearchAttributes([]string{"WebScraperAccount"})
	require.Equal(t, workflows.Settings{SearchAttributes: true}, settings, "set up before there were accounts")
	settings.UseSearchAttributes(nil)
	require.Equal(t, workflows.Settings{SearchAttributes: true, AccountAttribute: true}, settings)
	settings.UseSearchAttributes([]string{"WebScraperAccount", "SitemapName"})
	require.Equal(t, workflows.Settings{}, settings)
	settings.UseSearchAttributes([]string{"SitemapName"})
	require.Equal(t, workflows.Settings{}, settings, "Temporal refuses unregistered attributes")
}

func TestImportIsSearchableByAccount(t *testing.T) {
	for _, registered := range []bool{false, true} {
		var upserted []temporal.SearchAttributes
		w := newWorld(t, "finished")
		w.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
			upserted = append(upserted, args.Get(0).(temporal.SearchAttributes))
		}).Return(nil)
		w.settings.SearchAttributes, w.settings.AccountAttribute = true, registered
		w.importOf(t, "acme", "24h")
		require.NotEmpty(t, upserted)
		account, ok := upserted[0].GetKeyword(workflows.AccountAttribute)
		require.Equal(t, registered, ok)
		require.Equal(t, registered, account == "acme")

		c := &signals{}
		_, err := workflows.Notify(t.Context(), c, "queue", workflows.Notification{ScrapingJobID: jobID, Account: "acme", Status: "finished"}, w.settings)
		require.NoError(t, err)
		account, ok = c.options.TypedSearchAttributes.GetKeyword(workflows.AccountAttribute)
		require.Equal(t, registered, ok)
		require.Equal(t, registered, account == "acme")
	}
}

// For instance, after a deletion with another account's token.
func TestJobRecordedAsDeletedButStillThereIsDeletedAfterItsHold(t *testing.T) {
	w := newWorld(t, "finished")
	deleted := w.start.Add(-2 * time.Hour)
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 9, Counts: sink.Counts{Records: 20}, CloudDeletedAt: &deleted}
	w.published.Account = "acme"
	require.Equal(t, workflows.Deleted, w.importOf(t, "acme", "24h").Outcome)
	require.Empty(t, w.imports)
	require.Len(t, w.deletes, 1)
}
