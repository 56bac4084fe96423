package archive

var (
	Latest = (*Archive).latest
	Open   = (*Archive).open
)
