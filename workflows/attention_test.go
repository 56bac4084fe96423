package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// asks calls then with the question that the import asks an hour after the start.
func (w *world) asks(t *testing.T, then func(attention string)) {
	t.Helper()
	w.RegisterDelayedCallback(func() { then(w.attention(t)) }, time.Hour)
}

// attention returns the question that the import waits with.
func (w *world) attention(t *testing.T) string {
	t.Helper()
	answer, err := w.QueryWorkflow(workflows.ProgressQuery)
	require.NoError(t, err)
	var progress workflows.Progress
	require.NoError(t, answer.Get(&progress))
	require.Equal(t, workflows.StepNeedsAttention, progress.Step)
	return progress.Attention
}

func rejects(r *activities.ImportRecordsResult) error {
	r.Records, r.Rejected = 19, 1
	return nil
}

func tooFew(r *activities.ImportRecordsResult) error {
	r.Records = 19
	return nil
}

func withheld(r *activities.ImportRecordsResult) error {
	return withholds(r, sink.TooFewRecords, "the download came out short")
}

// withholds leaves the import unpublished until an operator accepts it.
func withholds(r *activities.ImportRecordsResult, kind, reason string) error {
	r.Published, r.Reason = false, reason
	r.Question = &sink.Question{Kind: kind, Worse: -r.Records, Reason: reason}
	return nil
}

// accepted returns the kinds of questions that were accepted when the last import started.
func (w *world) accepted() (kinds []string) {
	for _, each := range w.imports[len(w.imports)-1].Accepted {
		kinds = append(kinds, each.Kind)
	}
	return kinds
}

func refused(r *activities.ImportRecordsResult) error {
	r.Published = false
	return temporal.NewNonRetryableApplicationError("no table", "DatabaseRefuses", nil)
}

func TestOperatorDecides(t *testing.T) {
	const (
		closeIt  = "reimport tries again, abandon and keep close it without deleting anything."
		acceptIt = "accept lets the job be deleted in the cloud, with 1 of its 20 records "
	)
	for _, test := range []struct {
		name     string
		onImport func(*activities.ImportRecordsResult) error
		signal   string
		says     string
		outcome  workflows.Outcome
		deleted  bool
	}{
		{"rejects accepted", rejects, "accept", "1 record was rejected (see scrapehaul.rejected_records). Signals: " + acceptIt + "only in scrapehaul.rejected_records; " + closeIt, workflows.Deleted, true},
		{"rejects abandoned", rejects, "abandon", "", workflows.Abandoned, false},
		{"rejects kept", rejects, "keep", "", workflows.Kept, false},
		{"mismatch accepted", tooFew, "accept", "19 records were imported, but the job has stored 20. Signals: " + acceptIt + "missing here; " + closeIt, workflows.Deleted, true},
		{"mismatch abandoned", tooFew, "abandon", "", workflows.Abandoned, false},
		{"short download abandoned", withheld, "abandon", "the download came out short. Signals: accept downloads the job again and publishes it, even with only 20 records; the job is deleted in the cloud after its hold; " + closeIt, workflows.Abandoned, false},
		{"error abandoned", refused, "abandon", "no table. Signals: " + closeIt, workflows.Abandoned, false},
		{"error kept", refused, "keep", "", workflows.Kept, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.onImport = test.onImport
			w.asks(t, func(attention string) {
				if test.says != "" {
					require.Equal(t, test.says, attention)
				}
				require.Empty(t, w.deletions, "the job stays in the cloud until the question is answered")
				w.SignalWorkflow(test.signal, nil)
			})
			require.Equal(t, test.outcome, w.run(t, "0").Outcome)
			require.Equal(t, test.deleted, len(w.deletions) == 1)
			require.Len(t, w.imports, 1)
		})
	}
}

func TestTooFewRecordsArePublishedOnceAccepted(t *testing.T) {
	w := newWorld(t, "finished")
	w.settings.MinRecordsPercent = 80
	w.onImport = func(r *activities.ImportRecordsResult) error {
		if w.accepted() == nil {
			return withholds(r, sink.TooFewRecords, "the job has 20 records")
		}
		return nil
	}
	w.asks(t, func(attention string) {
		require.Equal(t, "the job has 20 records. Signals: accept downloads the job again and publishes it, even with only 20 records; the job is deleted in the cloud after its hold; "+
			"reimport tries again, abandon and keep close it without deleting anything.", attention)
		w.SignalWorkflow(workflows.AcceptSignal, nil)
	})
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Len(t, w.imports, 2)
	require.Equal(t, []sink.Question{{Kind: sink.TooFewRecords, Worse: -20, Reason: "the job has 20 records"}}, w.imports[1].Accepted)
}

func TestDetailsAndResultReportProblemsOfPublishing(t *testing.T) {
	const problem = "rows of table books were not deactivated"
	w := newWorld(t, "finished")
	w.onImport = func(r *activities.ImportRecordsResult) error {
		r.Problem = problem
		return nil
	}
	w.RegisterDelayedCallback(func() {
		require.Contains(t, w.details(t), "| problem\u2003 | "+problem+" |")
	}, time.Hour)
	require.Equal(t, problem, w.run(t, "48h").Problem)
}

// details returns the current details in the UI.
func (w *world) details(t *testing.T) string {
	t.Helper()
	return detailsIn(t, w.TestWorkflowEnvironment)
}

func detailsIn(t *testing.T, env *testsuite.TestWorkflowEnvironment) string {
	t.Helper()
	answer, err := env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(t, answer.Get(&metadata))
	return metadata.GetCurrentDetails()
}

func TestSignalsContinueAnImportThatNeedsAttention(t *testing.T) {
	for _, signal := range []string{workflows.ReimportSignal, workflows.NotificationSignal} {
		for name, trouble := range map[string]func(*activities.ImportRecordsResult) error{"error": refused, "short download": withheld} {
			t.Run(signal+" after "+name, func(t *testing.T) {
				w := newWorld(t, "finished")
				w.onImport = func(r *activities.ImportRecordsResult) error {
					if len(w.imports) == 1 {
						return trouble(r)
					}
					return nil
				}
				w.asks(t, func(string) { w.SignalWorkflow(signal, nil) })
				require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
				require.Len(t, w.imports, 2)
			})
		}
	}
}

func TestImportNeedsAttentionAfterItsLastRetry(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDownload = func() error {
		return temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
	}
	w.asks(t, func(attention string) {
		require.Contains(t, attention, "DownloadScrapingJob timed out")
		w.onDownload = nil
		w.SignalWorkflow(workflows.ReimportSignal, nil)
	})
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
}

func TestFullDisksNeedAttentionAfterAllWorkersFailed(t *testing.T) {
	w := newWorld(t, "finished")
	w.OnActivity("DownloadScrapingJob", mock.Anything, mock.Anything).
		Return(activities.DownloadScrapingJobResult{}, temporal.NewApplicationError("the spool's disk is full", activities.ErrorDiskFull))
	w.RegisterDelayedCallback(func() {
		require.Contains(t, w.attention(t), "the spool's disk is full")
		w.SignalWorkflow(workflows.AbandonSignal, nil)
	}, 90*time.Minute)
	require.Equal(t, workflows.Abandoned, w.run(t, "0").Outcome)
}

func TestFewRejectsCanBeAllowed(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = rejects
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		Settings: workflows.Settings{HoldBeforeDelete: "0", MaxRejected: 1},
	})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.deletions, 1)
}

func TestStoppedJobWithRejectsStaysInTheCloudWhenAccepted(t *testing.T) {
	w := newWorld(t, "stopped")
	w.onImport = rejects
	w.asks(t, func(string) { w.SignalWorkflow(workflows.AcceptSignal, nil) })
	require.Equal(t, workflows.Kept, w.run(t, "0").Outcome)
	require.Empty(t, w.deletions)
}

func TestAcceptanceIsOfOneImportOnly(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = rejects
	w.asks(t, func(string) { w.SignalWorkflow(workflows.AcceptSignal, nil) })
	w.signalAfter(2*time.Hour, workflows.ReimportSignal) // while holding
	asked := false
	w.RegisterDelayedCallback(func() {
		asked = true
		w.SignalWorkflow(workflows.AbandonSignal, nil)
	}, 3*time.Hour)
	require.Equal(t, workflows.Abandoned, w.run(t, "24h").Outcome)
	require.True(t, asked)
	require.Empty(t, w.deletions)
}

func TestImportFailsWhenNobodyDecides(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = rejects
	w.execute("0")
	require.ErrorContains(t, w.GetWorkflowError(), "1 record was rejected")
	require.InDelta(t, (7 * 24 * time.Hour).Seconds(), w.Now().Sub(w.start).Seconds(), 60)
	require.Empty(t, w.deletions)
}

func TestNonRetryableQuestionHasItsOwnDeadline(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = refused
	w.RegisterDelayedCallback(func() {
		w.onImport = func(r *activities.ImportRecordsResult) error {
			r.Published = false
			return temporal.NewNonRetryableApplicationError("another row has the key", activities.ErrorMappedTable, nil)
		}
		w.SignalWorkflow(workflows.ReconciliationSignal, nil)
	}, 167*time.Hour)
	w.execute("0")
	require.ErrorContains(t, w.GetWorkflowError(), "another row has the key")
	require.InDelta(t, (167+168)*time.Hour.Seconds(), w.Now().Sub(w.start).Seconds(), 60)
}

func TestStoppedJobStaysInTheCloudWhateverIsAccepted(t *testing.T) {
	w := newWorld(t, "stopped")
	w.onImport = func(r *activities.ImportRecordsResult) error {
		_ = rejects(r)
		return withheld(r)
	}
	w.asks(t, func(attention string) {
		require.Contains(t, attention, "accept downloads the job again and publishes it, even with only 19 records; the job stays in the cloud; ")
		w.SignalWorkflow(workflows.AbandonSignal, nil)
	})
	require.Equal(t, workflows.Abandoned, w.run(t, "0").Outcome)
}

func TestSignalsEndTheHold(t *testing.T) {
	for _, test := range []struct {
		signal  string
		outcome workflows.Outcome
		deleted bool
	}{
		{workflows.DeleteNowSignal, workflows.Deleted, true},
		{workflows.KeepSignal, workflows.Kept, false},
		{workflows.AbandonSignal, workflows.Abandoned, false},
	} {
		t.Run(test.signal, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.signalAfter(time.Hour, test.signal)
			require.Equal(t, test.outcome, w.run(t, "24h").Outcome)
			require.Less(t, w.Now().Sub(w.start), 2*time.Hour)
			require.Equal(t, test.deleted, len(w.deletions) == 1)
		})
	}
}

func TestUnexpectedSignalsDoNothing(t *testing.T) {
	t.Run("accept before there is anything to accept", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = func(r *activities.ImportRecordsResult) error {
			w.SignalWorkflow(workflows.AcceptSignal, nil)
			return rejects(r)
		}
		w.asks(t, func(string) { w.SignalWorkflow(workflows.AbandonSignal, nil) })
		require.Equal(t, workflows.Abandoned, w.run(t, "0").Outcome)
		require.Empty(t, w.deletions)
	})
	t.Run("delete-now before the hold", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = func(*activities.ImportRecordsResult) error {
			w.SignalWorkflow(workflows.DeleteNowSignal, nil)
			return nil
		}
		require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
		require.InDelta(t, 24*time.Hour.Seconds(), w.deletions[0].Seconds(), 5)
	})
	t.Run("while holding", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.signalAfter(time.Hour, workflows.AcceptSignal)
		require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
		require.InDelta(t, 24*time.Hour.Seconds(), w.deletions[0].Seconds(), 5)
	})
	t.Run("while it needs attention", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = refused
		w.asks(t, func(string) {
			w.SignalWorkflow(workflows.AcceptSignal, nil) // nothing was published
			w.SignalWorkflow(workflows.DeleteNowSignal, nil)
		})
		w.signalAfter(2*time.Hour, workflows.AbandonSignal)
		require.Equal(t, workflows.Abandoned, w.run(t, "0").Outcome)
		require.Empty(t, w.deletions)
	})
}

func TestKeptJobIsNeverDeleted(t *testing.T) {
	for name, setup := range map[string]func(*world){
		"while importing": func(w *world) {
			w.onImport = func(*activities.ImportRecordsResult) error {
				w.SignalWorkflow(workflows.KeepSignal, nil)
				return nil
			}
		},
		"together with a reimport": func(w *world) {
			w.signalAfter(time.Hour, workflows.KeepSignal)
			w.signalAfter(time.Hour, workflows.ReimportSignal)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			setup(w)
			require.Equal(t, workflows.Kept, w.run(t, "24h").Outcome)
			require.Empty(t, w.deletions)
		})
	}
}

func TestAbandonWhileImportingClosesWithoutDeleting(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = func(*activities.ImportRecordsResult) error {
		w.SignalWorkflow(workflows.AbandonSignal, nil)
		return nil
	}
	require.Equal(t, workflows.Abandoned, w.run(t, "0").Outcome)
	require.Empty(t, w.deletions)
}

// The question says in numbers what accept does, and it does no more.
func TestAcceptingAWorseImportPublishesItAndDeletesNothing(t *testing.T) {
	w := newWorld(t, "finished")
	w.settings.MaxRejected = 7
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 20}}
	w.onImport = func(r *activities.ImportRecordsResult) error {
		r.Records, r.Rejected = 5, 15
		if len(w.imports) == 1 {
			return withholds(r, sink.TooFewRecords, "the import has 5 good records")
		}
		return nil
	}
	w.signalAfter(time.Minute, workflows.ReimportSignal)
	w.asks(t, func(attention string) {
		require.Equal(t, int64(7), w.imports[0].MaxRejected)
		require.Contains(t, attention, "accept downloads the job again and publishes it, even with only 5 records; they replace the 20 published before; it asks again before the job is deleted in the cloud; ")
		w.SignalWorkflow(workflows.AcceptSignal, nil)
		w.RegisterDelayedCallback(func() {
			require.Equal(t, int64(-5), w.imports[1].Accepted[0].Worse)
			require.Equal(t, int64(5), w.published.Records)
			require.Contains(t, w.attention(t), "15 records were rejected (see scrapehaul.rejected_records). "+
				"Signals: accept lets the job be deleted in the cloud, with 15 of its 20 records only in scrapehaul.rejected_records; ")
			w.SignalWorkflow(workflows.KeepSignal, nil)
		}, time.Hour)
	})
	require.Equal(t, workflows.Kept, w.run(t, "24h").Outcome)
	require.Empty(t, w.deletions)
}

func TestQuestionSaysWhatAcceptPublishes(t *testing.T) {
	for _, test := range []struct {
		name, kind      string
		published       int64 // 0 for nothing
		counts          sink.Counts
		hold, status    string
		accept          string
		skippedIfClosed bool
	}{
		{"nothing left", sink.TooFewRecords, 20, sink.Counts{}, "24h", "finished",
			"even with only 0 records; they replace the 20 published before; it asks again before the job is deleted in the cloud", false},
		{"complete", sink.TooFewRecords, 30, sink.Counts{Records: 20}, "24h", "finished",
			"even with only 20 records; they replace the 30 published before; the job is deleted in the cloud after its hold", false},
		{"never deleted", sink.TooFewRecords, 30, sink.Counts{Records: 20}, workflows.NeverDelete, "finished",
			"even with only 20 records; they replace the 30 published before; the job stays in the cloud", false},
		{"more, with bad ones", sink.TooFewRecords, 5, sink.Counts{Records: 15, Rejected: 5}, "24h", "finished",
			"even with 15 records; they replace the 5 published before; it asks again before the job is deleted in the cloud", false},
		{"unmapped", sink.TooFewRecords, 20, sink.Counts{Records: 20, Unmapped: 4}, "24h", "finished",
			"even with 20 records, 4 of them without a row in the mapped table; they replace the 20 published before; it asks again before the job is deleted in the cloud", false},
		{"first import, unmapped", sink.TooFewRecords, 0, sink.Counts{Records: 20, Unmapped: 4}, "24h", "stopped",
			"even with 20 records, 4 of them without a row in the mapped table; the job stays in the cloud", true},
		{"column without values", sink.EmptyColumns, 0, sink.Counts{Records: 20}, "24h", "finished",
			"as it is, now with 20 records; the job is deleted in the cloud after its hold", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.status)
			if test.published > 0 {
				w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: test.published}}
			}
			w.onImport = func(r *activities.ImportRecordsResult) error {
				r.Counts = test.counts
				return withholds(r, test.kind, "it is worse")
			}
			w.signalAfter(0, workflows.ReimportSignal)
			w.asks(t, func(string) {
				now := w.progress(t)
				separator := " "
				if test.kind == sink.TooFewRecords {
					separator = ", "
				}
				require.Equal(t, "downloads the job again and publishes it"+separator+test.accept, now.Accept)
				after := ""
				if test.skippedIfClosed {
					after = ", and reconciliation skips it until it has run again"
				}
				require.Equal(t, "closes the import as kept; the job stays in the cloud"+after, now.Meaning(workflows.KeepSignal))
				require.Equal(t, "closes the import as abandoned; the job stays in the cloud"+after, now.Meaning(workflows.AbandonSignal))
				w.SignalWorkflow(workflows.AbandonSignal, nil)
			})
			require.Equal(t, workflows.Abandoned, w.run(t, test.hold).Outcome)
		})
	}
}

// withholdsFor asks about each kind in turn.
func (w *world) withholdsFor(kinds ...string) {
	w.onImport = func(r *activities.ImportRecordsResult) error {
		if n := len(w.accepted()); n < len(kinds) {
			return withholds(r, kinds[n], "it is about "+kinds[n])
		}
		return nil
	}
}

func TestOneAcceptAnswersOneQuestion(t *testing.T) {
	kinds := []string{sink.TooFewRecords, sink.ManyRowsMissing, sink.EmptyColumns}
	w := newWorld(t, "finished")
	w.withholdsFor(kinds...)
	for i, kind := range kinds {
		w.RegisterDelayedCallback(func() {
			require.Contains(t, w.attention(t), "it is about "+kind+". Signals: accept downloads the job again and publishes it")
			require.Len(t, w.imports, i+1)
			w.together(workflows.AcceptSignal, workflows.AcceptSignal) // pressed twice
		}, time.Duration(i+1)*time.Hour)
	}
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Equal(t, kinds, w.accepted())
}

func TestAcceptOfAnEarlierQuestionDoesNotAnswerALaterOne(t *testing.T) {
	w := newWorld(t, "finished")
	w.withholdsFor(sink.TooFewRecords, sink.ManyRowsMissing)
	w.asks(t, func(first string) {
		w.SignalWorkflow(workflows.AcceptSignal, first)
		w.RegisterDelayedCallback(func() {
			second := w.attention(t)
			require.NotEqual(t, first, second)
			w.SignalWorkflow(workflows.AcceptSignal, first) // from a page that is an hour old
			w.RegisterDelayedCallback(func() {
				require.Equal(t, second, w.attention(t))
				w.SignalWorkflow(workflows.AcceptSignal, second)
			}, time.Hour)
		}, time.Hour)
	})
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Len(t, w.imports, 3)
}

func TestAcceptWithAnyOtherInputAnswersTheOpenQuestion(t *testing.T) {
	for _, input := range []any{nil, "", 7, map[string]string{"why": "the shop has closed"}} {
		w := newWorld(t, "finished")
		w.withholdsFor(sink.TooFewRecords)
		w.asks(t, func(string) { w.SignalWorkflow(workflows.AcceptSignal, input) })
		require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	}
}

func TestAcceptanceDoesNotApplyToChangedContent(t *testing.T) {
	for _, kind := range []string{sink.TooFewRecords, sink.ManyRowsMissing, sink.EmptyColumns} {
		w := newWorld(t, "finished")
		w.onImport = func(r *activities.ImportRecordsResult) error { return withholds(r, kind, "it is worse") }
		w.asks(t, func(string) {
			w.job.StoredRecordCount = 25 // without a notification
			w.SignalWorkflow(workflows.AcceptSignal, nil)
			w.signalAfter(time.Hour, workflows.AbandonSignal)
		})
		require.Equal(t, workflows.Abandoned, w.run(t, "0").Outcome)
		require.Len(t, w.imports, 2)
		require.Empty(t, w.accepted())
	}
}

func TestTruncatedRecordsNeedAttentionWhateverMayBeRejected(t *testing.T) {
	w := newWorld(t, "finished")
	w.settings.MaxRejected = 5
	w.onImport = func(r *activities.ImportRecordsResult) error {
		r.Records, r.Rejected, r.Cut = 18, 2, 1
		return nil
	}
	w.asks(t, func(attention string) {
		require.Contains(t, attention, "2 records were rejected, 1 of them kept only in part, the first 64 KiB (see scrapehaul.rejected_records). "+
			"Signals: accept lets the job be deleted in the cloud, with 2 of its 20 records only in scrapehaul.rejected_records, 1 only in part; ")
		require.Empty(t, w.deletions)
		w.SignalWorkflow(workflows.AcceptSignal, nil)
	})
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
}

// The counts are compared even if no deletion follows.
func TestShortDownloadOfAKeptJobNeedsAttention(t *testing.T) {
	for _, test := range []struct{ name, status, hold string }{
		{"stopped", "stopped", "0"}, {"failed", "failed", "0"}, {"never deleted", "finished", workflows.NeverDelete},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.status)
			w.settings.MaxRejected = 5
			w.onImport = tooFew
			w.asks(t, func(attention string) {
				require.Contains(t, attention, "19 records were imported, but the job has stored 20. "+
					"Signals: accept closes the import as it is, and the job stays in the cloud; ")
				w.SignalWorkflow(workflows.NotificationSignal, nil) // answers nothing
				w.RegisterDelayedCallback(func() {
					require.Equal(t, attention, w.attention(t))
					w.SignalWorkflow(workflows.AcceptSignal, nil)
				}, time.Hour)
			})
			require.Equal(t, workflows.Kept, w.run(t, test.hold).Outcome)
			require.Empty(t, w.deletions)
		})
	}
}
