package workflows

// Names that only reconciliation uses.
const (
	ReconciliationSignal = reconciliationSignal
	StartImportsName     = startImportsName
	TryAgainName         = tryAgainName
	CountTryAgainName    = countTryAgainName
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
	StartEach         = startEach
	TryEachAgain      = tryEachAgain
	CountEachTryAgain = countEachTryAgain
	StartedSince      = startedSince
)
