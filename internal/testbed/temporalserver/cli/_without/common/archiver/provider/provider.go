// Package provider takes the place of the server's package of that name: here there are
// no archives, whose drivers for Amazon's and Google's clouds are a fifth of all that
// there would be to compile.
package provider

import (
	"errors"

	"go.temporal.io/server/common/archiver"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
)

// ErrUnknownScheme is returned for all archives, ErrArchiverConfigNotFound never.
var (
	ErrUnknownScheme          = errors.New("this Temporal server was built without archives")
	ErrArchiverConfigNotFound = errors.New("unable to find archiver config for the given scheme")
)

// ArchiverProvider returns the archiver of a scheme.
type ArchiverProvider interface {
	GetHistoryArchiver(scheme string) (archiver.HistoryArchiver, error)
	GetVisibilityArchiver(scheme string) (archiver.VisibilityArchiver, error)
}

type none struct{}

// NewArchiverProvider returns one that knows no scheme.
func NewArchiverProvider(
	*config.HistoryArchiverProvider, *config.VisibilityArchiverProvider, persistence.ExecutionManager, log.Logger, metrics.Handler,
) ArchiverProvider {
	return none{}
}

func (none) GetHistoryArchiver(string) (archiver.HistoryArchiver, error) {
	return nil, ErrUnknownScheme
}

func (none) GetVisibilityArchiver(string) (archiver.VisibilityArchiver, error) {
	return nil, ErrUnknownScheme
}
