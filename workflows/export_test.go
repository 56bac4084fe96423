package workflows

// Names that only reconciliation uses.
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
	Signaling          = signaling
)

var (
	StartEach    = startEach
	TryEachAgain = tryEachAgain
	StartedSince = startedSince
)
