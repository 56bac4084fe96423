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

// partialSuffix is in the name of a file that is being written; what follows is unique to
// the attempt.
const partialSuffix = ".partial-"

// checkFreeEvery is how many bytes are written between two checks of the free space, for
// downloads of unknown length.
const checkFreeEvery = 16 << 20

// partialFile is the temporary file of one attempt at a download. It writes, hashes,
// counts and checks the free space.
//
// Once heartbeats have reported its name and the validator of its content, it only
// grows. So the next attempt can rely on its content, even while this one keeps writing
// after Temporal has timed it out. The next attempt must not write to it: it copies the
// content into its own file.
type partialFile struct {
	spool *Spool
	name  string // of the complete file
	// workerTaskQueue is reported together with the file's name.
	workerTaskQueue string
	// earlier is the last heartbeat of the previous attempt. Its Partial is a file of the
	// same download, or "" if there is nothing to resume.
	earlier Progress

	file      *os.File  // nil until open
	hash      hash.Hash // SHA-256
	written   atomic.Int64
	reported  atomic.Pointer[Progress] // without the bytes
	checkedAt int64
}

func newPartialFile(spool *Spool, name, workerTaskQueue string, earlier Progress) *partialFile {
	_, err := spool.path(earlier.Partial)
	if err != nil || !strings.HasPrefix(earlier.Partial, name+partialSuffix) {
		earlier.Partial, earlier.Validator = "", ""
	}
	p := &partialFile{spool: spool, name: name, workerTaskQueue: workerTaskQueue, earlier: earlier, hash: sha256.New()}
	p.reported.Store(&Progress{
		Partial: earlier.Partial, Validator: earlier.Validator, Compressed: earlier.Compressed, WorkerTaskQueue: earlier.WorkerTaskQueue,
		OfRecords: earlier.OfRecords,
	})
	return p
}

func (p *partialFile) progress() Progress {
	progress := *p.reported.Load()
	progress.Bytes = p.written.Load()
	return progress
}

// open creates the file, with the content that the previous attempt has left.
func (p *partialFile) open(ctx context.Context) (err error) {
	p.file, err = os.CreateTemp(p.spool.dir, p.name+partialSuffix+"*") // with mode 0600
	if err != nil {
		return spoolError{fmt.Errorf("creating the spool file: %w", err)}
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
		return spoolError{fmt.Errorf("resuming from the previous attempt's spool file: %w", err)}
	}
	return nil
}

// copy copies the current content of the earlier file. If there is no room for both, the
// download starts over.
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

// downloadOptions requests what the file lacks. ctx is for heartbeats.
//
// A compressed download is smaller but usually has no validator. So the attempt after a
// failed compressed download requests it uncompressed, and so do those that resume it. If
// that has no validator either, the next attempt uses compression again.
func (p *partialFile) downloadOptions(ctx context.Context) webscraper.DownloadOptions {
	compressed := !p.earlier.Compressed && p.earlier.Partial == ""
	return webscraper.DownloadOptions{
		Offset: p.written.Load(), Validator: p.earlier.Validator, Uncompressed: !compressed,
		OnHeader: func(started webscraper.Download, length int64) error {
			return p.start(ctx, started, length, compressed)
		},
	}
}

// start is called before the body's first byte. From here on the next attempt resumes this
// file.
func (p *partialFile) start(ctx context.Context, started webscraper.Download, length int64, compressed bool) error {
	// Do not truncate an empty file: ext4 would flush all of it to disk on close.
	if started.Offset == 0 && p.written.Load() > 0 {
		_, err := p.file.Seek(0, io.SeekStart)
		if err := errors.Join(err, p.file.Truncate(0)); err != nil {
			return spoolError{fmt.Errorf("emptying the spool file: %w", err)}
		}
		p.hash.Reset()
		p.written.Store(0)
		p.checkedAt = 0
	}
	rest := max(0, length)
	progress := &Progress{
		OfBytes: started.Offset + rest, OfRecords: p.earlier.OfRecords, Compressed: compressed, WorkerTaskQueue: p.workerTaskQueue,
	}
	if started.Validator != "" {
		progress.Partial, progress.Validator = filepath.Base(p.file.Name()), started.Validator
	}
	p.reported.Store(progress)
	activity.RecordHeartbeat(ctx, p.progress())
	p.removeEarlier()
	return p.spool.checkFree(rest)
}

func (p *partialFile) Write(b []byte) (int, error) {
	if written := p.written.Load(); written-p.checkedAt >= checkFreeEvery {
		if err := p.spool.checkFree(max(0, p.reported.Load().OfBytes-written)); err != nil {
			return 0, err
		}
		p.checkedAt = written
	}
	// After an error, the hash is not used.
	var hashing sync.WaitGroup
	hashing.Go(func() { p.hash.Write(b) })
	n, err := p.file.Write(b)
	hashing.Wait()
	p.written.Add(int64(n))
	if err != nil {
		return n, spoolError{fmt.Errorf("writing the spool file: %w", err)}
	}
	return n, nil
}

// sha256 returns the SHA-256 of what was written, in lower-case hexadecimal.
func (p *partialFile) sha256() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// finish gives the complete file its final name.
func (p *partialFile) finish() error {
	if err := p.file.Close(); err != nil {
		return spoolError{fmt.Errorf("writing the spool file: %w", err)}
	}
	if err := p.spool.finish(p.file.Name(), p.name, p.sha256()); err != nil {
		return fmt.Errorf("naming the spool file: %w", err)
	}
	return nil
}

// leave ends a failed attempt. If another one resumes, leave keeps the file that heartbeats
// have reported, or the earlier one; without either, any worker may start over. Everything
// else is removed now or, if that fails, by RemoveFile.
func (p *partialFile) leave(ctx context.Context, resume bool) {
	reported := p.reported.Load()
	if !resume {
		p.removeEarlier()
	}
	kept := resume && reported.Partial != ""
	if p.file != nil {
		err := p.file.Close()
		mine := reported.Partial == filepath.Base(p.file.Name())
		if mine {
			kept = kept && err == nil && p.written.Load() > 0
		}
		if !kept || !mine {
			_ = os.Remove(p.file.Name())
		}
	}
	// The next attempt gets only the last heartbeat.
	switch {
	case kept && p.file != nil:
		activity.RecordHeartbeat(ctx, p.progress())
	case !kept && ctx.Err() == nil:
		p.reported.Store(&Progress{Compressed: reported.Compressed, OfRecords: reported.OfRecords})
		p.written.Store(0)
		activity.RecordHeartbeat(ctx, p.progress())
	}
}

// removeEarlier removes the previous attempt's file. If a stale attempt still has it open
// and that prevents it, RemoveFile removes it later.
func (p *partialFile) removeEarlier() {
	if p.earlier.Partial != "" {
		_ = os.Remove(filepath.Join(p.spool.dir, p.earlier.Partial))
	}
}
