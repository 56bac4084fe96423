package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// partialSuffix marks a file that is being written; the rest of its name is
// unique to the attempt.
const partialSuffix = ".partial-"

// checkFreeEvery is how many bytes are written between two looks at the free
// space, for downloads that do not tell their length.
const checkFreeEvery = 16 << 20

// partialFile is the temporary file of one attempt at a download: it writes,
// hashes, counts and looks at the free space.
//
// Once heartbeats tell its name, together with the validator of its content, it
// only grows. So the next attempt can rely on what it finds there, even while
// this one, which Temporal has given up, goes on writing. The next attempt must
// not write there itself: it copies the beginning into a file of its own.
type partialFile struct {
	spool *Spool
	name  string // of the whole file
	// workerTaskQueue is told together with the file's name.
	workerTaskQueue string
	// earlier is what the attempt before has told. Its Partial is a file of the
	// same download, or "" when there is nothing to go on with.
	earlier Progress

	file      *os.File  // nil until open
	hash      hash.Hash // SHA-256
	written   atomic.Int64
	told      atomic.Pointer[Progress] // all but the bytes
	checkedAt int64
}

func newPartialFile(spool *Spool, name, workerTaskQueue string, earlier Progress) *partialFile {
	_, err := spool.path(earlier.Partial)
	if err != nil || !strings.HasPrefix(earlier.Partial, name+partialSuffix) {
		earlier.Partial, earlier.Validator = "", ""
	}
	p := &partialFile{spool: spool, name: name, workerTaskQueue: workerTaskQueue, earlier: earlier, hash: sha256.New()}
	p.told.Store(&Progress{
		Partial: earlier.Partial, Validator: earlier.Validator, Compressed: earlier.Compressed, WorkerTaskQueue: earlier.WorkerTaskQueue,
		OfRecords: earlier.OfRecords,
	})
	return p
}

func (p *partialFile) progress() Progress {
	progress := *p.told.Load()
	progress.Bytes = p.written.Load()
	return progress
}

// open makes the file, with what the attempt before has left.
func (p *partialFile) open(ctx context.Context) (err error) {
	p.file, err = os.CreateTemp(p.spool.dir, p.name+partialSuffix+"*") // with mode 0600
	if err != nil {
		return fmt.Errorf("making the spool file: %w", err)
	}
	if p.earlier.Partial == "" {
		return nil
	}
	earlier, err := os.OpenInRoot(p.spool.dir, p.earlier.Partial)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(p.copy(ctx, earlier), earlier.Close())
	}
	if err != nil {
		return fmt.Errorf("going on with the spool file of the attempt before: %w", err)
	}
	return nil
}

// copy copies what the earlier file holds now. When there is no room for both,
// the download begins anew.
func (p *partialFile) copy(ctx context.Context, earlier *os.File) error {
	info, err := earlier.Stat()
	if err != nil {
		return err
	}
	err = p.spool.checkFree(info.Size())
	if errors.Is(err, errDiskFull) {
		return nil
	}
	if err != nil {
		return err
	}
	beginning := io.LimitReader(&countingReader{Reader: earlier, ctx: ctx, read: new(atomic.Int64)}, info.Size())
	_, err = io.CopyBuffer(p, beginning, make([]byte, 1<<20))
	return err
}

// downloadOptions asks for what the file lacks. ctx is for heartbeats.
//
// A compressed download is smaller, but the server gives no validator with it as
// a rule. So after one that broke, the next is asked for uncompressed, and so are
// those that go on with it. When even that one has no validator, the next is
// compressed again.
func (p *partialFile) downloadOptions(ctx context.Context) webscraper.DownloadOptions {
	compressed := !p.earlier.Compressed && p.earlier.Partial == ""
	return webscraper.DownloadOptions{
		Offset: p.written.Load(), Validator: p.earlier.Validator, Uncompressed: !compressed,
		OnHeader: func(begun webscraper.Download, length int64) error { return p.begin(ctx, begun, length, compressed) },
	}
}

// begin is told what is known of the body before its first byte. From here on
// the next attempt goes on with this file.
func (p *partialFile) begin(ctx context.Context, begun webscraper.Download, length int64, compressed bool) error {
	// An empty file is not truncated: after that, ext4 starts to write all of it to
	// the disk when it is closed.
	if begun.Offset == 0 && p.written.Load() > 0 {
		_, err := p.file.Seek(0, io.SeekStart)
		if err := errors.Join(err, p.file.Truncate(0)); err != nil {
			return fmt.Errorf("emptying the spool file: %w", err)
		}
		p.hash.Reset()
		p.written.Store(0)
		p.checkedAt = 0
	}
	rest := max(0, length)
	told := &Progress{
		OfBytes: begun.Offset + rest, OfRecords: p.earlier.OfRecords, Compressed: compressed, WorkerTaskQueue: p.workerTaskQueue,
	}
	if begun.Validator != "" {
		told.Partial, told.Validator = filepath.Base(p.file.Name()), begun.Validator
	}
	p.told.Store(told)
	activity.RecordHeartbeat(ctx, p.progress())
	p.removeEarlier()
	return p.spool.checkFree(rest)
}

func (p *partialFile) Write(b []byte) (int, error) {
	if written := p.written.Load(); written-p.checkedAt >= checkFreeEvery {
		if err := p.spool.checkFree(max(0, p.told.Load().OfBytes-written)); err != nil {
			return 0, err
		}
		p.checkedAt = written
	}
	// After an error nobody asks for the hash any more.
	var hashing sync.WaitGroup
	hashing.Go(func() { p.hash.Write(b) })
	n, err := p.file.Write(b)
	hashing.Wait()
	p.written.Add(int64(n))
	if err != nil {
		return n, fmt.Errorf("writing the spool file: %w", err)
	}
	return n, nil
}

// sha256 is that of what has been written, in lower-case hexadecimal.
func (p *partialFile) sha256() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// finish gives the file, which is whole, its own name.
func (p *partialFile) finish() error {
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("writing the spool file: %w", err)
	}
	if err := p.spool.finish(p.file.Name(), p.name, p.sha256()); err != nil {
		return fmt.Errorf("naming the spool file: %w", err)
	}
	return nil
}

// leave ends an attempt that has failed. If another one goes on, it leaves the
// file that heartbeats have told of, or the earlier one; without either, no worker
// is better than another. The rest is removed, by RemoveFile if that is not
// possible now.
func (p *partialFile) leave(ctx context.Context, goesOn bool) {
	told := p.told.Load()
	if !goesOn {
		p.removeEarlier()
	}
	kept := goesOn && told.Partial != ""
	if p.file != nil {
		err := p.file.Close()
		mine := told.Partial == filepath.Base(p.file.Name())
		if mine {
			kept = kept && err == nil && p.written.Load() > 0
		}
		if !kept || !mine {
			_ = os.Remove(p.file.Name())
		}
	}
	// The last heartbeat is all that the next attempt gets.
	switch {
	case kept && p.file != nil:
		activity.RecordHeartbeat(ctx, p.progress())
	case !kept && ctx.Err() == nil:
		p.told.Store(&Progress{Compressed: told.Compressed, OfRecords: told.OfRecords})
		p.written.Store(0)
		activity.RecordHeartbeat(ctx, p.progress())
	}
}

// removeEarlier removes the file of the attempt before. Where that is not
// possible while a late attempt still writes there, RemoveFile will do it.
func (p *partialFile) removeEarlier() {
	if p.earlier.Partial != "" {
		_ = os.Remove(filepath.Join(p.spool.dir, p.earlier.Partial))
	}
}
