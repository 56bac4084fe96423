package workflows_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"pgregory.net/rapid"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// model is a world with random signals, failures and changes of the job, and the invariants
// of the import.
type model struct {
	*world
	t *rapid.T

	mu      sync.Mutex // activities run concurrently with the workflow
	atCall  map[int][]happening
	calls   int
	running int // calls
	// fates are the results of each activity's next calls; all later ones succeed.
	fates    map[string][]string
	fate     map[string]string
	attempts map[string]int32
	changes  []string // of the job, seen by the next API call

	clock       int // numbers the events
	happened    int
	troubledAt  int // a fate was not "well"
	changed     bool
	describedAt []int
	publishedAt map[int64]moment
	deleting    []moment
	given, sent []sent // sent are those that surely arrived before its end
	violations  []string
}

type moment struct {
	clock int
	at    time.Time
}

// happening is what happens at one moment.
type happening struct {
	after time.Duration // the previous one
	what  []string      // signals, and changes of the job
	which int           // of the answers
	long  bool          // the history becomes long
	// together delivers the signals in one workflow task: with the end of the call, if they
	// come with one.
	together bool
	ended    bool // notifications report the job's end
}

// sent is a signal to the running workflow.
type sent struct {
	moment
	signal string
	before workflows.Progress
	with   int // the number of its happening
}

var (
	modelSignals = []string{
		workflows.NotificationSignal, workflows.ReimportSignal, workflows.ReconciliationSignal,
		workflows.KeepSignal, workflows.AbandonSignal, workflows.AcceptSignal, workflows.DeleteNowSignal,
	}
	modelChanges = map[string]func(*world){
		"more records":  func(w *world) { w.job.StoredRecordCount += 7 },
		"fewer records": func(w *world) { w.job.StoredRecordCount -= min(3, w.job.StoredRecordCount) },
		"runs":          func(w *world) { w.job.Status = "started" },
		"finishes":      func(w *world) { w.job.Status = "finished" },
		"stops":         func(w *world) { w.job.Status = "stopped" },
		"gone":          func(w *world) { w.found = false },
	}
	modelCalls = []int{0, 0, 0, 0, 0, 0, 0, lateRemoval, lateRemoval, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} // 0: no call
	modelFates = map[string][]string{
		"call":     {"1s", "10m"}, // wait for an API call
		"download": {"retry", "refused", "job gone", "timeout", "spent"},
		"import":   {"retry", "refused", "file gone", "superseded", "worker gone", "rejects", "cut", "short", "withheld", "too few", "spent"},
		"delete":   {"retry", "refused", "changed", "unarchived", "unverified", "spent"},
		"remove":   {"retry", "retry", "retry"},
	}
)

var modelSteps = map[string]string{
	"DownloadScrapingJob": "download", "ImportRecords": "import", "DeleteScrapingJob": "delete", "RemoveFile": "remove",
}

const (
	modelHold = 24 * time.Hour
	// lateRemoval is a call that removes a file when everything else may be done.
	lateRemoval = -1
	// answer is one of the signals offered at that moment.
	answer = "answer"
)

// SOAK=1 runs many more sequences; -rapid.seed repeats one.
func TestNoSequenceOfEventsLosesASignalOrARecord(t *testing.T) {
	checks := "1000"
	switch {
	case os.Getenv("SOAK") != "":
		checks = "100000"
	case testing.Short():
		checks = "200"
	}
	require.NoError(t, flag.Set("rapid.checks", checks))
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	rapid.Check(t, func(r *rapid.T) {
		m := &model{world: newWorld(t, "finished"), t: r, publishedAt: map[int64]moment{}}
		m.job.Status = rapid.SampledFrom([]string{"finished", "finished", "stopped", "failed"}).Draw(r, "status")
		for run := range rapid.IntRange(1, 2).Draw(r, "imports") {
			if run > 0 {
				m.nextRun(t)
				m.start = m.Now()
			}
			m.runs(t, fmt.Sprintf("import %d ", run+1))
		}
	})
}

// runs executes one import, in as many runs as it takes.
func (m *model) runs(t *testing.T, name string) {
	m.calls, m.running, m.atCall, m.given, m.sent, m.describedAt, m.deleting = 0, 0, map[int][]happening{}, nil, nil, nil, nil
	m.changed = false
	m.fates, m.fate, m.attempts = map[string][]string{}, map[string]string{}, map[string]int32{}
	for _, step := range slices.Sorted(maps.Keys(modelFates)) {
		fate := rapid.SampledFrom(append([]string{"well", "well", "well"}, modelFates[step]...))
		m.fates[step] = rapid.SliceOfN(fate, 0, 3).Draw(m.t, name+step)
	}
	var at time.Duration
	for _, h := range rapid.SliceOfN(rapid.Custom(drawHappening), 0, 4).Draw(m.t, name+"happenings") {
		if call := rapid.SampledFrom(modelCalls).Draw(m.t, name+"with call"); call != 0 {
			m.atCall[call] = append(m.atCall[call], h)
			continue
		}
		at += h.after
		m.RegisterDelayedCallback(func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.running > 0 { // that call could end in between
				m.atCall[m.calls+1] = append(m.atCall[m.calls+1], h)
				return
			}
			m.happens(h, false, func() {})
		}, at)
	}
	m.listens()
	m.execute(modelHold.String())
	for again := new(workflow.ContinueAsNewError); errors.As(m.GetWorkflowError(), &again); {
		var in workflows.ImportScrapingJobInput
		require.NoError(m.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
		start := m.start
		m.nextRun(t)
		m.start = start
		m.listens()
		m.ExecuteWorkflow(workflows.ImportScrapingJobName, in)
	}
	m.check()
}

// nextRun creates the environment for the next run, with the state of the previous one.
func (m *model) nextRun(t *testing.T) {
	before := m.world
	m.world = newWorld(t, "")
	m.SetStartTime(before.Now())
	m.job, m.found, m.published, m.imports = before.job, before.found, before.published, before.imports
}

// listens connects the steps to their fates.
func (m *model) listens() {
	m.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.attempts[modelSteps[info.ActivityType.Name]] = info.Attempt
		if info.Attempt == 1 {
			m.running++
		}
	})
	m.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.running--
	})
	m.onDescribe = func() {
		m.mu.Lock()
		m.describedAt = append(m.describedAt, m.clock) // before anything that comes with the call
		m.mu.Unlock()
		m.starts("")
		m.change()
	}
	m.onCall = func() time.Duration {
		wait, _ := time.ParseDuration(m.starts("call"))
		return wait
	}
	m.onDownload = func() error { return m.failure(m.starts("download")) }
	m.onImport = func(r *activities.ImportRecordsResult) error { return m.imported(r, m.starts("import")) }
	m.onRemove = func() error { return m.failure(m.starts("remove")) }
	m.onDelete = m.deletion
}

func drawHappening(t *rapid.T) happening {
	all := append(slices.Sorted(maps.Keys(modelChanges)), modelSignals...)
	all = append(all, answer, answer, answer, answer)
	return happening{
		after: rapid.SampledFrom([]time.Duration{
			time.Nanosecond, time.Millisecond, time.Second, time.Minute, time.Hour, modelHold - time.Second, modelHold, 170 * time.Hour,
		}).Draw(t, "after"),
		what:     rapid.SliceOfN(rapid.SampledFrom(all), 1, 3).Draw(t, "what"),
		long:     rapid.IntRange(0, 3).Draw(t, "long") == 3,
		which:    rapid.IntRange(0, 3).Draw(t, "which"),
		together: rapid.Bool().Draw(t, "together"),
		ended:    rapid.Bool().Draw(t, "ended"),
	}
}

// happens is called between workflow tasks. It sends the signals, records those that
// arrived before the workflow's end, and then calls done.
func (m *model) happens(h happening, withCall bool, done func()) {
	locked := func(f func()) {
		m.RegisterDelayedCallback(func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			f()
		}, 0)
	}
	locked(func() { m.happened++ })
	if h.long {
		locked(func() { m.SetContinueAsNewSuggested(true) })
	}
	for i, what := range h.what {
		if modelChanges[what] != nil {
			locked(func() { m.changes, m.changed = append(m.changes, what), true })
			continue
		}
		if what == answer {
			signals := m.progress().Signals
			if len(signals) == 0 {
				continue
			}
			what = signals[h.which%len(signals)]
		}
		var now sent
		locked(func() {
			m.clock++
			now = sent{moment: moment{m.clock, m.Now()}, signal: what, before: m.progress(), with: m.happened}
			m.given = append(m.given, now)
		})
		var payload any
		if h.ended && what == workflows.NotificationSignal {
			payload = workflows.Notification{ScrapingJobID: jobID, Status: "finished"}
		}
		if h.together && (withCall || i < len(h.what)-1) {
			m.SignalWorkflowSkippingWorkflowTask(what, payload)
		} else {
			m.SignalWorkflow(what, payload)
		}
		locked(func() {
			if !m.IsWorkflowCompleted() {
				m.sent = append(m.sent, now)
			}
		})
	}
	m.RegisterDelayedCallback(done, 0)
}

func (m *model) progress() (progress workflows.Progress) {
	if answer, err := m.QueryWorkflow(workflows.ProgressQuery); err == nil { // it has started
		require.NoError(m.t, answer.Get(&progress))
	}
	return progress
}

// starts is called at the start of a step: it makes what comes with it happen, and returns
// the step's fate.
func (m *model) starts(step string) (fate string) {
	m.mu.Lock()
	m.clock++
	m.calls++
	with := m.atCall[m.calls]
	if step == "remove" && m.attempts[step] > 1 {
		with = append(with, m.atCall[lateRemoval]...)
		m.atCall[lateRemoval] = nil
	}
	m.mu.Unlock()
	for _, h := range with {
		done := make(chan struct{})
		m.RegisterDelayedCallback(func() { m.happens(h, true, func() { close(done) }) }, 0)
		<-done
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.attempts[step] > 1 && m.fate[step] == "spent" {
		return "spent"
	}
	m.fate[step] = ""
	if left := m.fates[step]; len(left) > 0 {
		m.fate[step], m.fates[step] = left[0], left[1:]
		if left[0] != "well" {
			m.troubledAt = m.clock
		}
	}
	return m.fate[step]
}

// change applies the changes of the job.
func (m *model) change() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, change := range m.changes {
		modelChanges[change](m.world)
	}
	m.changes = nil
}

func (m *model) failure(fate string) error {
	final := func(kind string) error { return temporal.NewNonRetryableApplicationError(fate, kind, nil) }
	switch fate {
	case "retry", "spent":
		return errors.New(fate)
	case "refused":
		return final("RequestRefused")
	case "job gone":
		m.found = false
		return final(activities.ErrorJobGone)
	case "file gone":
		return final(activities.ErrorFileGone)
	case "superseded":
		return final(activities.ErrorSuperseded)
	case "worker gone":
		return temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	case "timeout":
		return temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil)
	}
	return nil
}

// imported returns the result of an import, by the rules of the activity.
func (m *model) imported(r *activities.ImportRecordsResult, fate string) error {
	in := m.imports[len(m.imports)-1]
	r.Records = in.Job.StoredRecordCount
	switch fate {
	case "rejects":
		r.Records, r.Rejected = r.Records-1, 1
	case "cut":
		r.Records, r.Rejected, r.Cut = r.Records-1, 1, 1
	case "short":
		r.Records--
	case "withheld", "too few":
		kind := map[string]string{"withheld": sink.ManyRowsMissing, "too few": sink.TooFewRecords}[fate]
		if !slices.Contains(m.accepted(), kind) {
			_ = withholds(r, kind, fate)
		}
	default:
		if err := m.failure(fate); err != nil {
			r.Published = false
			return err
		}
	}
	if r.Published {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.publishedAt[r.ImportID] = moment{m.clock, m.Now()}
	}
	return nil
}

// deletion does what the activity does, and checks its input.
func (m *model) deletion(r *activities.DeleteScrapingJobResult) {
	m.mu.Lock()
	now := moment{m.clock, m.Now()} // before anything that comes with the call
	m.mu.Unlock()
	fate := m.starts("delete")
	m.change()
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Deleted = false
	in := m.deletes[len(m.deletes)-1]
	published := m.publishedAt[in.ImportID]
	if m.published == nil || m.published.ImportID != in.ImportID {
		r.Reason = "not the published one"
		return
	}
	complete := in.Counts.Rejected == 0 && in.Counts.All() == in.Job.StoredRecordCount
	m.wrong(in.Job.Status != "finished", "deletes a job that is %q", in.Job.Status)
	m.wrong(!complete && !m.givenSince(published, workflows.AcceptSignal), "deletes an incomplete import that was not accepted")
	early := now.at.Before(published.at.Add(modelHold))
	m.wrong(early && !m.givenSince(published, workflows.DeleteNowSignal), "deletes before the hold is over")
	m.wrong(early && !in.Manual, "does not say that an operator wants it deleted")
	m.deleting = append(m.deleting, now)
	m.deleteFails = func() error { return nil }
	switch {
	case fate == "changed":
		m.job.StoredRecordCount++
		r.Changed, r.Reason = true, fate
	case m.found && !m.job.SameContent(in.Job):
		r.Changed, r.Reason = true, "has run again"
	case fate == "unarchived":
		r.Unarchived, r.Reason = true, fate
	case fate == "unverified":
		r.Reason = fate
	default:
		err := m.failure(fate)
		m.deleteFails = func() error { return err }
		r.Deleted = err == nil
	}
}

func (m *model) givenSince(then moment, signals ...string) bool {
	return slices.ContainsFunc(m.given, func(s sent) bool { return s.clock >= then.clock && slices.Contains(signals, s.signal) })
}

// wrong records a violation; require does not work in an activity.
func (m *model) wrong(is bool, format string, args ...any) {
	if is {
		m.violations = append(m.violations, fmt.Sprintf(format, args...))
	}
}

// check requires the invariants at the end of a run.
func (m *model) check() {
	require.True(m.t, m.IsWorkflowCompleted())
	require.Empty(m.t, m.violations)
	require.Empty(m.t, m.files, "spool files are left")
	var result workflows.ImportScrapingJobResult
	lastSent := m.start
	for _, s := range m.sent {
		lastSent = s.at
	}
	if err := m.GetWorkflowError(); err != nil {
		require.GreaterOrEqual(m.t, m.Now().Sub(m.start), 168*time.Hour, "fails without having waited for an operator: %v", err)
	} else {
		require.NoError(m.t, m.GetWorkflowResult(&result))
		require.NotEmpty(m.t, result.Outcome)
	}
	require.Less(m.t, m.Now().Sub(lastSent), 30*24*time.Hour, "waits forever")
	if p := m.published; p != nil && result.Outcome == workflows.Kept && p.All() != p.StoredRecordCount {
		require.True(m.t, m.givenSince(moment{}, workflows.AcceptSignal, workflows.KeepSignal, workflows.AbandonSignal),
			"an incomplete import ends without a question")
	}
	for _, s := range m.sent {
		undisturbed := s.with == m.happened && s.clock > m.troubledAt && !m.changed
		closed := m.givenSince(moment{}, workflows.KeepSignal, workflows.AbandonSignal) // permanently, even if sent later
		again := slices.ContainsFunc(m.given, func(g sent) bool {                       // with no check in between
			return g.signal == workflows.ReimportSignal &&
				!slices.ContainsFunc(m.describedAt, func(clock int) bool { return g.clock <= clock && clock < s.clock })
		})
		switch s.signal {
		case workflows.NotificationSignal, workflows.ReimportSignal:
			require.True(m.t, slices.ContainsFunc(m.describedAt, func(clock int) bool { return clock >= s.clock }),
				"%s at %d is lost: the job is not checked after it", s.signal, s.clock)
		case workflows.KeepSignal, workflows.AbandonSignal:
			for _, deleting := range m.deleting {
				inFlight := s.before.Step == workflows.StepDelete && s.before.WaitsFor == ""
				require.True(m.t, deleting.clock < s.clock || inFlight, "%s at %d is lost: the job is deleted after it", s.signal, s.clock)
			}
			if s.before.Step != workflows.StepNeedsAttention || slices.Contains(s.before.Signals, s.signal) { // else its deadline has passed
				require.NoError(m.t, m.GetWorkflowError(), "%s is lost: the question is still open", s.signal)
			}
		case workflows.AcceptSignal:
			if undisturbed && slices.Contains(s.before.Signals, s.signal) && !again {
				require.NoError(m.t, m.GetWorkflowError(), "accept is lost: the question is still open")
			}
		case workflows.DeleteNowSignal:
			if undisturbed && slices.Contains(s.before.Signals, s.signal) && !closed && !again {
				require.NotEmpty(m.t, m.deleting)
				require.Less(m.t, m.deleting[len(m.deleting)-1].at.Sub(s.at), time.Minute, "delete-now is lost")
			}
		}
	}
}
