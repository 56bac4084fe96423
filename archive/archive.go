package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/scrapehaul/scrapehaul/sink"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

var (
	// ErrContentMismatch is returned by [Archive.Put] if the content does not match its
	// File. Nothing was archived.
	ErrContentMismatch = errors.New("the content does not match its size and SHA-256")
	// ErrCorrupt is returned if a blob of the archive has changed since it was written.
	ErrCorrupt = errors.New("the archived file is corrupt")
)

// File describes an archived file.
type File struct {
	// Account is the job's account in Web Scraper Cloud, the default one if empty.
	Account       string `json:"account,omitempty"`
	ScrapingJobID int64  `json:"scrapingjob_id"`
	// RequestedAt is when the import of the file was requested. It orders the files of
	// a job.
	RequestedAt time.Time `json:"requested_at"`
	// Bytes and SHA256 (lower-case hex) are those of the uncompressed file.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Format is "csv", or "" for JSON Lines.
	Format string `json:"format,omitempty"`
	// Job is the job object that the file belongs to.
	Job sink.ScrapingJob `json:"job"`
}

// Archive keeps files in a bucket. Its methods are safe for concurrent use. Their
// errors contain no credentials and no URL queries.
type Archive struct {
	bucket *blob.Bucket
}

// New returns an archive in the bucket. The caller closes the bucket.
func New(bucket *blob.Bucket) *Archive { return &Archive{bucket: bucket} }

// Put archives the file. A blob exists only once it is complete; putting the same
// File again replaces it. Put returns [ErrContentMismatch] if the content does not
// have the File's size and SHA-256.
func (a *Archive) Put(caller context.Context, file File, content io.Reader) (err error) {
	defer func() {
		if err != nil {
			err = redacted(fmt.Errorf("archiving the file of scraping job %d: %w", file.ScrapingJobID, err))
		}
	}()
	header, err := headerFrame(file)
	if err != nil {
		return err
	}
	// Closing the writer after its context was canceled creates no blob.
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	var local *os.File
	to, err := a.bucket.NewWriter(ctx, key(file), &blob.WriterOptions{
		ContentType:                 "application/zstd",
		DisableContentTypeDetection: true,
		BeforeWrite: func(as func(any) bool) error {
			as(&local)
			return nil
		},
	})
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && local != nil {
			err = local.Sync() // the cloud's copy may be deleted next
		}
		if err != nil {
			cancel()
		}
		if closing := to.Close(); err == nil {
			err = closing
		}
		if err == nil && local != nil {
			err = a.syncFolders(context.WithoutCancel(caller), key(file)) // or a retry finds it archived
		}
	}()
	if _, err := to.Write(header); err != nil {
		return err
	}
	return compress(to, content, file)
}

// syncFolders makes the name of a blob in a folder durable. If it cannot, it removes the
// blob.
func (a *Archive) syncFolders(ctx context.Context, key string) (err error) {
	if runtime.GOOS == "windows" { // which syncs no folders
		return nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.bucket.Delete(ctx, key))
		}
	}()
	var local *os.File
	from, err := a.bucket.NewReader(ctx, key, &blob.ReaderOptions{
		BeforeRead: func(as func(any) bool) error {
			as(&local)
			return nil
		},
	})
	if err != nil {
		return err
	}
	folder := local.Name()
	err = from.Close()
	for range strings.Split(key, "/") { // each may be new
		folder = filepath.Dir(folder)
		var opened *os.File
		if err == nil {
			opened, err = os.Open(folder)
		}
		if err == nil {
			err = errors.Join(opened.Sync(), opened.Close())
		}
	}
	return err
}

// compress writes the content and checks that it is the file's.
func compress(to io.Writer, content io.Reader, file File) error {
	encoder, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.Copy(encoder, io.TeeReader(content, hash))
	if closing := encoder.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); n != file.Bytes || sum != file.SHA256 {
		return fmt.Errorf("%w: it has %d bytes and SHA-256 %s, want %d and %s", ErrContentMismatch, n, sum, file.Bytes, file.SHA256)
	}
	return nil
}

// Has reports whether a file of the account's job with that SHA-256 is archived.
func (a *Archive) Has(ctx context.Context, account string, scrapingJobID int64, sha256 string) (bool, error) {
	found := false
	err := a.list(ctx, jobPrefix(account, scrapingJobID), func(e entry) error {
		found = found || e.sha256 == sha256
		return nil
	})
	return found, err
}

// latest returns the key of the job's most recently requested file, "" if none is
// archived.
func (a *Archive) latest(ctx context.Context, account string, scrapingJobID int64) (key string, err error) {
	var latest entry
	err = a.list(ctx, jobPrefix(account, scrapingJobID), func(e entry) error {
		if e.sha256 != "" && e.requestedAt.After(latest.requestedAt) {
			latest = e
		}
		return nil
	})
	return latest.key, err
}

// strandedAfter is the age at which no process can still be writing a temporary
// file. Buckets in a folder have such files.
const strandedAfter = 48 * time.Hour

// RemoveOlder removes the files of all accounts whose imports were requested before
// that time, and, if the bucket is a folder, temporary files of killed processes. It
// calls progress as it goes.
func (a *Archive) RemoveOlder(ctx context.Context, before time.Time, progress func(removed int)) (removed int, err error) {
	stranded := time.Now().Add(-strandedAfter)
	prefixes, err := a.prefixes(ctx)
	for _, prefix := range prefixes {
		if err == nil {
			err = a.list(ctx, prefix, func(e entry) error {
				progress(removed)
				due := e.sha256 != "" && e.requestedAt.Before(before) || e.temporary && e.modified.Before(stranded)
				if !due {
					return nil
				}
				if err := a.bucket.Delete(ctx, e.key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
					return redacted(fmt.Errorf("removing %s from the archive: %w", e.key, err))
				}
				removed++
				return nil
			})
		}
	}
	return removed, err
}
