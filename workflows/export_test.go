package workflows

// What only reconciliation sends and calls.
const (
	ReconciliationSignal = reconciliationSignal
	StartImportsName     = startImportsName
)

type (
	StartImportsInput  = startImportsInput
	StartImportsResult = startImportsResult
)

var (
	StartEach    = startEach
	StartedSince = startedSince
)
