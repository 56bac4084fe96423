package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Prefixes of all keys, so that the bucket can be used for other things too. Keys of
// named accounts have both.
const (
	accounts = "accounts/"
	jobs     = "scrapingjobs/"
)

func accountPrefix(account string) string {
	if sink.IsNamed(account) {
		return accounts + account + "/" + jobs
	}
	return jobs
}

func jobPrefix(account string, scrapingJobID int64) string {
	return fmt.Sprintf("%s%d/", accountPrefix(account), scrapingJobID)
}

// keyTime sorts chronologically.
const keyTime = "20060102T150405.000000Z"

func key(file File) string {
	extension := "jsonl"
	if file.Format != "" {
		extension = file.Format
	}
	return fmt.Sprintf("%s%s-%s.%s.zst", jobPrefix(file.Account, file.ScrapingJobID), file.RequestedAt.UTC().Format(keyTime), file.SHA256, extension)
}

var keyPattern = regexp.MustCompile(`^(?:` + accounts + `[a-z0-9-]+/)?` + jobs + `\d+/(\d{8}T\d{6}\.\d{6}Z)-([0-9a-f]{64})\.(?:jsonl|csv)\.zst(\.[0-9a-f]+\.tmp)?$`)

// entry is a blob as described by its key.
type entry struct {
	key      string
	modified time.Time
	// requestedAt and sha256 are those of the file.
	requestedAt time.Time
	sha256      string
	// temporary is set, and sha256 is not, for a file that is being written.
	temporary bool
}

// list calls each for each of our blobs under the prefix.
func (a *Archive) list(ctx context.Context, prefix string, each func(entry) error) error {
	return a.objects(ctx, &blob.ListOptions{Prefix: prefix}, func(object *blob.ListObject) error {
		parts := keyPattern.FindStringSubmatch(object.Key)
		if parts == nil {
			return nil
		}
		found := entry{key: object.Key, modified: object.ModTime, sha256: parts[2]}
		var err error
		if found.requestedAt, err = time.Parse(keyTime, parts[1]); err != nil {
			return nil //nolint:nilerr // not ours
		}
		if parts[3] != "" {
			found.temporary, found.sha256 = true, ""
		}
		return each(found)
	})
}

// prefixes returns the key prefixes of the accounts with files in the bucket. It lists
// no blobs other than those directly under accounts/.
func (a *Archive) prefixes(ctx context.Context) ([]string, error) {
	prefixes := []string{jobs}
	err := a.objects(ctx, &blob.ListOptions{Prefix: accounts, Delimiter: "/"}, func(object *blob.ListObject) error {
		if object.IsDir {
			prefixes = append(prefixes, object.Key+jobs)
		}
		return nil
	})
	return prefixes, err
}

func (a *Archive) objects(ctx context.Context, options *blob.ListOptions, each func(*blob.ListObject) error) error {
	for blobs := a.bucket.List(options); ; {
		next, err := blobs.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return redacted(fmt.Errorf("listing %s of the archive: %w", options.Prefix, err))
		}
		if err := each(next); err != nil {
			return err
		}
	}
}

// secretParts matches the user and the query of a URL: drivers put full URLs into
// their errors, access signatures included.
var secretParts = regexp.MustCompile(`([a-z][a-z0-9+.-]*://)(?:[^\s/?#@"]*@)?([^\s?#"]*)(\?[^\s"]*)?`)

// response matches what the Azure driver puts into its errors: the status and the
// response body, each between lines of dashes.
var response = regexp.MustCompile(`(?s)\s*\n-{80}\n(.*?)\n-{80}\n.*?\n-{80}\n`)

// Redact removes users and queries of URLs from an error text. A response in it is
// reduced to its status, on the same line.
func Redact(text string) string {
	text = response.ReplaceAllStringFunc(text, func(match string) string {
		return ": " + strings.ReplaceAll(response.FindStringSubmatch(match)[1], "\n", ", ")
	})
	return secretParts.ReplaceAllStringFunc(text, func(address string) string {
		parts := secretParts.FindStringSubmatch(address)
		redacted := parts[1] + parts[2]
		if parts[3] != "" {
			redacted += "?…"
			if strings.HasSuffix(parts[3], ":") { // the error's colon, not the query's
				redacted += ":"
			}
		}
		return redacted
	})
}

// redactedError is an error whose text has no secrets.
type redactedError struct {
	error
	text string
}

func (e redactedError) Error() string { return e.text }
func (e redactedError) Unwrap() error { return e.error }

func redacted(err error) error { return redactedError{error: err, text: Redact(err.Error())} }
