package workflows

// What only reconciliation sends and calls.
const (
	ReconciliationSignal = reconciliationSignal
	StartImportsName     = startImportsName
	TryAgainName         = tryAgainName
	AttentionMemo        = attentionMemo
	AccountMemo          = accountMemo
)

type (
	StartImportsInput  = startImportsInput
	StartImportsResult = startImportsResult
	TryAgainInput      = tryAgainInput
	TryAgainResult     = tryAgainResult
	Signalling         = signalling
)

var (
	StartEach    = startEach
	TryEachAgain = tryEachAgain
	StartedSince = startedSince
)
