package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync/atomic"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// partialSuffix marks a file that is being written; the rest of its name is
// unique to the attempt.
const partialSuffix = ".partial-"

// checkFreeEvery is how many bytes are written between two looks at the free
// space, for downloads that do not tell their length.
const checkFreeEvery = 16 << 20

// DownloadScrapingJobInput names the job and the file to make.
type DownloadScrapingJobInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// File is the file's name in the spool.
	File string `json:"file"`
}

// DownloadScrapingJobResult describes the file.
type DownloadScrapingJobResult struct {
	Bytes int64 `json:"bytes"`
	// SHA256 is in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// DownloadScrapingJob downloads the job's JSON into the spool: to a temporary
// name first, so that a file under its own name is whole. A file of an earlier
// attempt is replaced.
func (a *Activities) DownloadScrapingJob(ctx context.Context, in DownloadScrapingJobInput) (DownloadScrapingJobResult, error) {
	result, err := a.download(ctx, in)
	if err != nil {
		return DownloadScrapingJobResult{}, classify(ctx, err)
	}
	return result, nil
}

func (a *Activities) download(ctx context.Context, in DownloadScrapingJobInput) (result DownloadScrapingJobResult, err error) {
	path, err := a.Spool.path(in.File)
	if err != nil {
		return result, err
	}
	release, err := waitForSlot(ctx, a.Slots.takeForDownload)
	if err != nil {
		return result, err
	}
	defer release()
	if err := a.Spool.checkFree(0); err != nil {
		return result, err
	}
	file, err := os.CreateTemp(a.Spool.dir, in.File+partialSuffix+"*") // with mode 0600
	if err != nil {
		return result, fmt.Errorf("making the spool file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()

	ctx, cancel := cancelOnWorkerStop(ctx)
	defer cancel()
	to := &spoolWriter{spool: a.Spool, file: file, hash: sha256.New()}
	defer keepHeartbeating(ctx, to.progress)()

	_, err = a.Cloud.DownloadScrapingJobJSON(ctx, in.ScrapingJobID, to, webscraper.OnHeader(to.expect))
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errWorkerStopping) {
		return result, cause
	}
	if err != nil {
		return result, cloudError{err}
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return result, fmt.Errorf("writing the spool file: %w", err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return result, fmt.Errorf("naming the spool file: %w", err)
	}
	return DownloadScrapingJobResult{Bytes: to.written.Load(), SHA256: hex.EncodeToString(to.hash.Sum(nil))}, nil
}

// spoolWriter writes, hashes, counts and looks at the free space.
type spoolWriter struct {
	spool     *Spool
	file      *os.File
	hash      hash.Hash
	written   atomic.Int64
	length    atomic.Int64 // 0 when the download does not tell
	checkedAt int64
}

func (w *spoolWriter) progress() Progress {
	return Progress{Bytes: w.written.Load(), OfBytes: w.length.Load()}
}

// expect is told what is known of the body before its first byte.
func (w *spoolWriter) expect(header webscraper.DownloadHeader) error {
	length := max(0, header.ContentLength)
	w.length.Store(length)
	return w.spool.checkFree(length)
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	if written := w.written.Load(); written-w.checkedAt >= checkFreeEvery {
		if err := w.spool.checkFree(max(0, w.length.Load()-written)); err != nil {
			return 0, err
		}
		w.checkedAt = written
	}
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.written.Add(int64(n))
	if err != nil {
		return n, fmt.Errorf("writing the spool file: %w", err)
	}
	return n, nil
}

// RemoveFileInput names a file of the spool.
type RemoveFileInput struct {
	File string `json:"file"`
}

// RemoveFile removes the file from the spool, with what broken downloads of it
// have left. A file that is gone already is no error.
func (a *Activities) RemoveFile(ctx context.Context, in RemoveFileInput) error {
	if err := a.Spool.remove(in.File); err != nil {
		return classify(ctx, fmt.Errorf("removing the spool file: %w", err))
	}
	return nil
}
