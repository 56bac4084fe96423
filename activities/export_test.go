package activities

import (
	"context"
	"time"
)

// Describe is the first half of DownloadScrapingJob.
func Describe(ctx context.Context, a *Activities, id int64, filter Filter) (Description, error) {
	described, err := a.describePublished(ctx, id, "")
	if err != nil {
		return described, err
	}
	of, err := a.account(described.Account)
	if err != nil {
		return described, err
	}
	return a.describe(ctx, of, id, filter, described)
}

// Classify turns an error into what Temporal is to do about it.
var Classify = classify

// DeliveryID is the ID of the workflow that delivers what is published of a sitemap.
var DeliveryID = deliveryID

// Judge says what kind of problem an error is, and what is done about it.
func Judge(err error) (kind, verdict string) {
	kind, v, _ := judge(err)
	return kind, []string{"retried", "retried at once", "retriedBriefly", "final"}[v]
}

// Advice is the beginning of what a person is told of an error.
func Advice(err error) string {
	kind, _, _ := judge(err)
	return advice(kind, err)
}

// FromCloud and FromArchive are the errors of these.
func FromCloud(err error) error   { return cloudError{err} }
func FromArchive(err error) error { return archiveError{err} }

// Error types that only the operator sees.
const (
	ErrorRateLimited     = errorRateLimited
	ErrorCloud           = errorCloud
	ErrorRequestRefused  = errorRequestRefused
	ErrorDatabase        = errorDatabase
	ErrorDatabaseRefuses = errorDatabaseRefuses
	ErrorSpool           = errorSpool
	ErrorWorkerStopping  = errorWorkerStopping
	ErrorWorkerBusy      = errorWorkerBusy
	ErrorArchive         = errorArchive
	ErrorArchiveCorrupt  = errorArchiveCorrupt
	ErrorRecordHook      = errorRecordHook
	ErrorPageCredits     = errorPageCredits
	ErrorNotCreated      = errorNotCreated
	Undelivered          = undelivered
)

// Unchanged reports whether the description found the content published.
func (d Description) Unchanged() bool { return d.unchanged() }

// FillSlots leaves no slot free, UnboundSlots as many as are wanted.
func FillSlots(a *Activities)    { a.slots = newSlots(0) }
func UnboundSlots(a *Activities) { a.slots = nil }

// ReportEnded is one look of ReportEndedAttempts, LockProcess what the first attempt does.
var (
	ReportEnded = (*Spool).reportEnded
	LockProcess = (*Spool).lockProcess
)

// EndProcess does to the spool what the end of the process does.
func EndProcess(s *Spool) { _ = s.lock.Unlock() }

// Settle has a created job appear in the list within d.
func Settle(a *Activities, d time.Duration) { a.settling = d }
