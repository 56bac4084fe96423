package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// RecordHook looks at a record before it is imported, and returns it as it is to
// be imported: unchanged, or changed into another JSON object. [SkipRecord] as the
// error leaves the record out; any other error fails the attempt, which is
// retried. Temporal's history has that error's text, and a panic's value.
//
// record is a JSON object, or a row of a CSV download made into one. It is valid
// until the hook returns, which must not change it. Records come in the
// file's order from one goroutine for each import. Those that another attempt has
// committed do not come again. A changed record that is rejected is kept as it came.
type RecordHook func(ctx context.Context, job sink.ScrapingJob, number int64, record []byte) (changed []byte, err error)

type skipRecord struct{ reason string }

func (s *skipRecord) Error() string { return "record skipped: " + s.reason }

// SkipRecord is the error by which a [RecordHook] leaves a record out. The reason,
// a sentence for a person, is kept with the record in scrapehaul.skipped_records.
// Skipped records count as imported when the import is verified.
func SkipRecord(reason string) error { return &skipRecord{reason} }

var (
	errRecordHook = errors.New("the record hook failed")
	// errHookBroken is one that the host's code has to be changed for.
	errHookBroken = fmt.Errorf("%w", errRecordHook)
)

// call says of a record that is to be skipped why. A panic becomes an error: it
// would take the worker along, with all else that runs there.
func (hook RecordHook) call(ctx context.Context, job sink.ScrapingJob, number int64, record []byte) (changed []byte, skip *skipRecord, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("%w on record %d: panic: %v", errHookBroken, number, panicked)
		}
	}()
	changed, err = hook(ctx, job, number, record[:len(record):len(record)])
	if skip, ok := errors.AsType[*skipRecord](err); ok {
		return nil, skip, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w on record %d: %w", errRecordHook, number, err)
	}
	return changed, nil, nil
}

// hookFor returns the record hook for an import, nil if there is none. A slow hook
// has its records reported as progress: they are, and their batch is not yet.
func (a *Activities) hookFor(ctx context.Context, job sink.ScrapingJob, progress func()) func(number int64, record []byte) ([]byte, *skipRecord, error) {
	if a.RecordHook == nil {
		return nil
	}
	last := time.Now()
	return func(number int64, record []byte) ([]byte, *skipRecord, error) {
		if time.Since(last) > hookProgressEvery {
			progress()
			last = time.Now()
		}
		return a.RecordHook.call(ctx, job, number, record)
	}
}

// hookProgressEvery is well below any heartbeat timeout.
const hookProgressEvery = time.Second
