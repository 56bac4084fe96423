package workflows

// What only reconciliation sends and calls.
const (
	ReconciliationSignal = reconciliationSignal
	StartImportsName     = startImportsName
	TryAgainName         = tryAgainName
	AttentionMemo        = attentionMemo
)

type (
	StartImportsInput  = startImportsInput
	StartImportsResult = startImportsResult
	TryAgainResult     = tryAgainResult
	Signalling         = signalling
)

var (
	StartEach    = startEach
	TryEachAgain = tryEachAgain
	StartedSince = startedSince
)
