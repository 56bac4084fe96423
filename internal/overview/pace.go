package overview

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// Amount is how much of its current step an import has done.
type Amount struct {
	Unit Unit  `json:"unit"`
	Done int64 `json:"done"`
	// Of is the total; 0 if unknown.
	Of int64 `json:"of,omitempty"`
}

// Unit is what an Amount counts.
type Unit string

// The units of an Amount.
const (
	Bytes   Unit = "bytes"
	Records Unit = "records"
	Pages   Unit = "pages"
)

// Amount returns the step's progress: for a scrape as of the last check of the job, for a
// download or an import from the pending activity's heartbeat.
func (i Import) Amount() (amount Amount, ok bool) {
	if p := i.Progress; i.Step() == string(workflows.StepScrape) {
		return Amount{Pages, p.JobsExecuted, max(p.JobsExecuted, p.JobsScheduled)}, p.JobsScheduled > 0
	}
	if i.Activity == nil || i.Activity.LastHeartbeat == nil || i.Activity.Heartbeat.Waiting {
		return Amount{}, false
	}
	last := i.Activity.Heartbeat
	switch i.Activity.Name {
	case "ImportRecords":
		if done := last.Records + last.Rejected; done > 0 && i.Progress.StoredRecordCount > 0 {
			return Amount{Records, done, max(done, i.Progress.StoredRecordCount)}, true
		}
	case download:
	default:
		return Amount{}, false
	}
	// A retry may have resumed far beyond the 0 that the attempt before it reported.
	return Amount{Bytes, last.Bytes, last.OfBytes}, last.Bytes > 0 || last.OfBytes > 0 && i.Activity.Attempt == 1
}

// extrapolateFor is how long the estimate advances without a heartbeat: slightly longer
// than the time between two.
const extrapolateFor = time.Minute

// Estimate returns the step's estimated progress now, also as text, with speed and
// remaining time if known: "12 MB of 50 MB, 24 %, 3 MB/s, 13s left". Between heartbeats,
// which are many seconds apart, it advances at the attempt's speed. ok is as in
// [Import.Amount].
func (i Import) Estimate(now time.Time) (amount Amount, text string, ok bool) {
	if amount, ok = i.Amount(); !ok {
		return amount, "", false
	}
	rate := i.perSecond(amount)
	if rate > 0 {
		passed := min(max(now.Sub(*i.Activity.LastHeartbeat), 0), extrapolateFor)
		amount.Done += int64(rate * passed.Seconds())
	}
	if amount.Of > 0 {
		amount.Done = min(amount.Done, amount.Of)
	}
	text = amount.Unit.quantity(amount.Done)
	if amount.Of > 0 {
		text = fmt.Sprintf("%s of %s, %d %%", text, amount.Unit.quantity(amount.Of), 100*amount.Done/amount.Of)
	}
	if amount.Unit == Pages {
		text += ", " + Records.quantity(i.Progress.StoredRecordCount) + " so far"
	}
	if rate > 0 {
		text += ", " + amount.Unit.quantity(int64(rate)) + "/s"
		if amount.Of > 0 {
			left := time.Duration(float64(amount.Of-amount.Done) / rate * float64(time.Second))
			text += ", " + left.Round(time.Second).String() + " left"
		}
	}
	return amount, text, true
}

// perSecond returns the current attempt's speed, 0 if unknown: for a retry, which did not
// start at 0, and for a scrape, which is checked too rarely.
func (i Import) perSecond(amount Amount) float64 {
	if amount.Unit == Pages || i.Activity.Attempt > 1 || i.Activity.StartedAt == nil {
		return 0
	}
	passed := i.Activity.LastHeartbeat.Sub(*i.Activity.StartedAt)
	if passed < time.Second {
		return 0
	}
	return float64(amount.Done) / passed.Seconds()
}

func (u Unit) quantity(n int64) string {
	if u == Bytes {
		return humanize.Bytes(uint64(n))
	}
	return humanize.Comma(n) + " " + string(u)
}
