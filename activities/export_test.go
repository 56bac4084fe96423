package activities

import (
	"context"
	"time"
)

// Describe is the first part of DownloadScrapingJob.
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

// Classify returns the error that Temporal gets.
var Classify = classify

// DeliveryID returns the ID of the workflow that delivers a sitemap's publications.
var DeliveryID = deliveryID

// Judge returns an error's kind and verdict.
func Judge(err error) (kind, verdict string) {
	kind, v, _ := judge(err)
	return kind, []string{"retried", "retried soon", "retried briefly", "final"}[v]
}

// Advice returns the advice to operators that precedes an error.
func Advice(err error) string {
	kind, _, _ := judge(err)
	return advice(kind, err)
}

// FromCloud, FromSpool and FromArchive return err as an error of these.
func FromCloud(err error) error   { return cloudError{err} }
func FromSpool(err error) error   { return spoolError{err} }
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

// Unchanged reports whether the described content is published.
func (d Description) Unchanged() bool { return d.unchanged() }

// FillSlots leaves no slot free; UnboundSlots removes the limit.
func FillSlots(a *Activities)    { a.slots = newSlots(0) }
func UnboundSlots(a *Activities) { a.slots = nil }

// ReportEnded is one pass of ReportEndedAttempts; LockProcess is called by the first attempt.
var (
	ReportEnded = (*Spool).reportEnded
	LockProcess = (*Spool).lockProcess
)

// EndProcess has the effect of a process end on the spool.
func EndProcess(s *Spool) { _ = s.lock.Unlock() }

// Settle sets how long a created job may take to appear in the list.
func Settle(a *Activities, d time.Duration) { a.settling = d }
