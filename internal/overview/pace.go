package overview

import (
	"math"
	"time"
)

// Amount is how much of its present step an import has done.
type Amount struct {
	Unit Unit  `json:"unit"`
	Done int64 `json:"done"`
	// Of is how much there is to do; 0 when that is not known.
	Of int64 `json:"of,omitempty"`
}

// Unit is what an Amount counts.
type Unit string

// The units of an Amount.
const (
	Bytes   Unit = "bytes"
	Records Unit = "records"
)

// Amount tells from the heartbeat of the pending activity how far the step is.
// There is none while the import does neither download nor import records.
func (i Import) Amount() (amount Amount, ok bool) {
	if i.Activity == nil || i.Activity.LastHeartbeat == nil || i.Activity.Heartbeat.Waiting {
		return Amount{}, false
	}
	told := i.Activity.Heartbeat
	switch i.Activity.Name {
	case "ImportRecords":
		if done := told.Records + told.Rejected; done > 0 && i.Progress.StoredRecordCount > 0 {
			return Amount{Records, done, max(done, i.Progress.StoredRecordCount)}, true
		}
	case download:
	default:
		return Amount{}, false
	}
	return Amount{Bytes, told.Bytes, told.OfBytes}, told.Bytes > 0 || told.OfBytes > 0
}

// Pace estimates, from successive looks at one import, how fast its step goes
// and when it is done. Heartbeats come many seconds apart: between them it goes
// on counting at the speed it has seen. The zero value is ready to use.
type Pace struct {
	step   paceStep
	amount Amount
	at     time.Time // of the heartbeat that told the amount
	rate   float64   // units a second; 0 when not known
}

// paceStep is what a speed belongs to: a resumed attempt does not begin at 0.
type paceStep struct {
	runID, activity string
	attempt         int32
	unit            Unit
}

const (
	// smoothing is the time over which the speed is averaged.
	smoothing = 30 * time.Second
	// countOnFor is how long it counts on without a heartbeat, some more than the
	// time between two of them.
	countOnFor = time.Minute
)

// Look takes note of what the import's heartbeat tells. A look that shows
// nothing new changes nothing.
func (p *Pace) Look(i Import) {
	amount, ok := i.Amount()
	if !ok {
		*p = Pace{}
		return
	}
	step := paceStep{i.RunID, i.Activity.Name, i.Activity.Attempt, amount.Unit}
	at := *i.Activity.LastHeartbeat
	if step != p.step || amount.Done < p.amount.Done {
		*p = Pace{step: step, amount: amount, at: at}
		p.begin(i)
		return
	}
	p.amount.Of = amount.Of
	passed := at.Sub(p.at)
	if passed <= 0 {
		return
	}
	rate := float64(amount.Done-p.amount.Done) / passed.Seconds()
	if p.rate > 0 {
		weight := 1 - math.Exp(-passed.Seconds()/smoothing.Seconds())
		rate = p.rate + weight*(rate-p.rate)
	}
	p.amount, p.at, p.rate = amount, at, rate
}

// begin takes the speed from the attempt's beginning, if that began at 0.
func (p *Pace) begin(i Import) {
	if i.Activity.Attempt > 1 || i.Activity.StartedAt == nil {
		return
	}
	if passed := p.at.Sub(*i.Activity.StartedAt); passed >= time.Second {
		p.rate = float64(p.amount.Done) / passed.Seconds()
	}
}

// PerSecond is the speed, in units of the amount; known is false before there
// is one.
func (p *Pace) PerSecond() (rate float64, known bool) { return p.rate, p.rate > 0 }

// Amount estimates how much is done now; is false when the import has no step
// under way that can be measured.
func (p *Pace) Amount(now time.Time) (amount Amount, ok bool) {
	amount = p.amount
	if p.rate > 0 {
		passed := min(max(now.Sub(p.at), 0), countOnFor)
		amount.Done += int64(p.rate * passed.Seconds())
	}
	if amount.Of > 0 {
		amount.Done = min(amount.Done, amount.Of)
	}
	return amount, p.step != paceStep{}
}

// Remaining estimates how long the step still takes; known is false when the
// speed or the whole amount is not.
func (p *Pace) Remaining(now time.Time) (remaining time.Duration, known bool) {
	amount, ok := p.Amount(now)
	if !ok || p.rate <= 0 || amount.Of == 0 {
		return 0, false
	}
	return time.Duration(float64(amount.Of-amount.Done) / p.rate * float64(time.Second)), true
}
