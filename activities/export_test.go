package activities

// Describe is the first half of DownloadScrapingJob.
var Describe = (*Activities).describe

// Error types that only the operator sees.
const (
	ErrorRateLimited     = errorRateLimited
	ErrorCloud           = errorCloud
	ErrorRequestRefused  = errorRequestRefused
	ErrorDatabase        = errorDatabase
	ErrorDatabaseRefuses = errorDatabaseRefuses
	ErrorDiskFull        = errorDiskFull
	ErrorWorkerStopping  = errorWorkerStopping
	ErrorArchive         = errorArchive
	ErrorArchiveCorrupt  = errorArchiveCorrupt
	ErrorRecordHook      = errorRecordHook
)

// Unchanged reports whether the description found the content published.
func (d Description) Unchanged() bool { return d.unchanged() }

// FillSlots leaves no slot free, UnboundSlots as many as are wanted.
func FillSlots(a *Activities)    { a.slots = newSlots(0) }
func UnboundSlots(a *Activities) { a.slots = nil }
