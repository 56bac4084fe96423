package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// RecordHook is called for a record before it is imported and returns the record to
// import: unchanged, or another JSON object. A [SkipRecord] error leaves the record out;
// any other error fails the attempt, which is retried. Temporal's history contains the
// error's text or the panic's value.
//
// record is a JSON object; CSV rows are converted to one. It is valid until the hook
// returns, and the hook must not modify it. Records come in file order, from one goroutine
// per import. Records that another attempt has committed are not passed again. If a
// changed record is rejected, the original is kept.
type RecordHook func(ctx context.Context, job sink.ScrapingJob, number int64, record []byte) (changed []byte, err error)

type skipRecord struct{ reason string }

func (s *skipRecord) Error() string { return "record skipped: " + s.reason }

// SkipRecord returns the error with which a [RecordHook] leaves a record out. The reason,
// a sentence for operators, is kept with the record in scrapehaul.skipped_records. Skipped
// records count as imported when the import is verified.
func SkipRecord(reason string) error { return &skipRecord{reason} }

var (
	errRecordHook = errors.New("the record hook failed")
	// errHookBroken needs a change in the host's code.
	errHookBroken = fmt.Errorf("%w", errRecordHook)
)

// call calls the hook. skip is set for a record to leave out. A panic becomes an error, as
// it would crash the worker.
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

// jobHook is the record hook for one import. skip is set for a record to leave out.
type jobHook func(number int64, record []byte) (changed []byte, skip *skipRecord, err error)

// hookFor returns the record hook for an import, nil if there is none. A slow hook reports
// progress record by record, before the batch is complete.
func (a *Activities) hookFor(ctx context.Context, job sink.ScrapingJob, progress func()) jobHook {
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
