package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/sink"
)

var requestedAt = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// content compresses well and is longer than a zstd block.
func content(seed string) string {
	return strings.Repeat(`{"web-scraper-order":"1-1","product":"`+seed+`"}`+"\n", 10_000)
}

func describe(scrapingJobID int64, at time.Time, content string) archive.File {
	sum := sha256.Sum256([]byte(content))
	return archive.File{
		ScrapingJobID: scrapingJobID, RequestedAt: at, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
		Job: sink.ScrapingJob{SitemapName: "Küche", Status: "finished"},
	}
}

// eachBucket runs the test on buckets of different kinds.
func eachBucket(t *testing.T, test func(*testing.T, *blob.Bucket)) {
	t.Run("memory", func(t *testing.T) {
		bucket := memblob.OpenBucket(nil)
		t.Cleanup(func() { require.NoError(t, bucket.Close()) })
		test(t, bucket)
	})
	t.Run("folder", func(t *testing.T) { test(t, openFolder(t, t.TempDir())) })
}

func openFolder(t *testing.T, dir string) *blob.Bucket {
	t.Helper()
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bucket.Close()) })
	return bucket
}

func put(t *testing.T, bucket *blob.Bucket, file archive.File, content string) {
	t.Helper()
	require.NoError(t, archive.New(bucket).Put(t.Context(), file, strings.NewReader(content)))
}

func keys(t *testing.T, bucket *blob.Bucket) (keys []string) {
	t.Helper()
	for blobs := bucket.List(nil); ; {
		next, err := blobs.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return keys
		}
		require.NoError(t, err)
		keys = append(keys, next.Key)
	}
}

// read reads the newest file of the job.
func read(t *testing.T, bucket *blob.Bucket, scrapingJobID int64) (archive.File, string, error) {
	t.Helper()
	a := archive.New(bucket)
	file, content, err := a.OpenLatest(t.Context(), "", scrapingJobID)
	if err != nil {
		return archive.File{}, "", err
	}
	require.NotNil(t, content)
	defer func() { require.NoError(t, content.Close()) }()
	text, err := io.ReadAll(content)
	return file, string(text), err
}

func TestFileIsReadAsItWasArchived(t *testing.T) {
	eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
		for id, text := range map[int64]string{1: content("a"), 2: "", 3: "no newline at the end"} {
			file := describe(id, requestedAt, text)
			put(t, bucket, file, text)
			got, back, err := read(t, bucket, id)
			require.NoError(t, err)
			require.Equal(t, file, got)
			require.True(t, text == back)
		}
		require.Len(t, keys(t, bucket), 3)
	})
}

func TestArchivedFileIsOrdinaryZstd(t *testing.T) {
	bucket, text := memblob.OpenBucket(nil), content("a")
	put(t, bucket, describe(12, requestedAt, text), text)
	all := keys(t, bucket)
	require.Len(t, all, 1)
	require.Regexp(t, `^scrapingjobs/12/20260301T120000\.123456Z-[0-9a-f]{64}\.jsonl\.zst$`, all[0])
	packed, err := bucket.ReadAll(t.Context(), all[0])
	require.NoError(t, err)
	require.Less(t, len(packed), len(text)/10)
	decoder, err := zstd.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	defer decoder.Close()
	back, err := io.ReadAll(decoder)
	require.NoError(t, err)
	require.True(t, text == string(back))
}

func TestLatestIsTheMostRecentlyRequestedFile(t *testing.T) {
	eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
		a := archive.New(bucket)
		_, none, err := a.OpenLatest(t.Context(), sink.DefaultAccount, 12)
		require.NoError(t, err)
		require.Nil(t, none)

		newest := content("newest")
		put(t, bucket, describe(12, requestedAt.Add(time.Microsecond), newest), newest)
		put(t, bucket, describe(12, requestedAt, content("older")), content("older"))
		put(t, bucket, describe(120, requestedAt.Add(time.Hour), content("other job")), content("other job"))
		require.NoError(t, bucket.WriteAll(t.Context(), "scrapingjobs/12/zzz.txt", []byte("not ours"), nil))
		_, text, err := read(t, bucket, 12)
		require.NoError(t, err)
		require.True(t, newest == text)

		for sum, want := range map[string]bool{
			describe(12, requestedAt, newest).SHA256: true, describe(12, requestedAt, content("other job")).SHA256: false,
		} {
			has, err := a.Has(t.Context(), sink.DefaultAccount, 12, sum)
			require.NoError(t, err)
			require.Equal(t, want, has)
		}
	})
}

func TestAccountsHaveSeparateFiles(t *testing.T) {
	eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
		a := archive.New(bucket)
		of := func(account string) archive.File {
			file := describe(12, requestedAt, content(account))
			file.Account = account
			put(t, bucket, file, content(account))
			return file
		}
		files := map[string]archive.File{"acme": of("acme"), "globex": of("globex"), sink.DefaultAccount: of("")}
		require.Equal(t, []string{"accounts/acme/scrapingjobs/12/", "accounts/globex/scrapingjobs/12/", "scrapingjobs/12/"}, folders(t, bucket))
		for account, file := range files {
			got, opened, err := a.OpenLatest(t.Context(), account, 12)
			require.NoError(t, err)
			file.Job.Account = account // the requested one
			require.Equal(t, file, got)
			require.NoError(t, opened.Close())
			for _, other := range files {
				has, err := a.Has(t.Context(), account, 12, other.SHA256)
				require.NoError(t, err)
				require.Equal(t, other.SHA256 == file.SHA256, has)
			}
		}
		all := keys(t, bucket)
		require.NoError(t, bucket.Copy(t.Context(), all[0], all[2], nil))
		_, _, err := a.OpenLatest(t.Context(), "acme", 12)
		require.ErrorIs(t, err, archive.ErrCorrupt)
		require.ErrorContains(t, err, `it belongs to scraping job 12 of account "default"`)

		for _, other := range []string{"accounts/acme/notes.txt", "accounts/notes.txt", "accounts/someone/else/20260301T120000.txt", "elsewhere/" + all[0]} {
			require.NoError(t, bucket.WriteAll(t.Context(), other, []byte("not ours"), nil))
		}
		removed, err := a.RemoveOlder(t.Context(), requestedAt.Add(time.Hour), func(int) {})
		require.NoError(t, err)
		require.Equal(t, 3, removed)
		require.Len(t, keys(t, bucket), 4)
	})
}

// folders returns the folders of the bucket's files.
func folders(t *testing.T, bucket *blob.Bucket) (folders []string) {
	t.Helper()
	for _, key := range keys(t, bucket) {
		folders = append(folders, path.Dir(key)+"/")
	}
	return folders
}

func TestIncompleteFileIsNotArchived(t *testing.T) {
	text := content("a")
	broken := errors.New("the disk is broken")
	for name, c := range map[string]struct {
		content io.Reader
		want    error
	}{
		"cut":    {strings.NewReader(text[:len(text)-1]), archive.ErrContentMismatch},
		"longer": {strings.NewReader(text + "\n"), archive.ErrContentMismatch},
		"other":  {strings.NewReader(content("b")), archive.ErrContentMismatch},
		"fails":  {io.MultiReader(strings.NewReader(text[:100_000]), iotest.ErrReader(broken)), broken},
	} {
		t.Run(name, func(t *testing.T) {
			eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
				err := archive.New(bucket).Put(t.Context(), describe(12, requestedAt, text), c.content)
				require.ErrorIs(t, err, c.want)
				require.ErrorContains(t, err, "archiving the file of scraping job 12: ")
				require.Empty(t, keys(t, bucket))
			})
		})
	}
	t.Run("canceled", func(t *testing.T) {
		eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
			ctx, cancel := context.WithCancel(t.Context())
			canceling := readerFunc(func([]byte) (int, error) {
				cancel()
				return 0, io.EOF
			})
			err := archive.New(bucket).Put(ctx, describe(12, requestedAt, text), io.MultiReader(strings.NewReader(text), canceling))
			require.ErrorIs(t, err, context.Canceled)
			require.Empty(t, keys(t, bucket))
		})
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestCorruptFileIsRefused(t *testing.T) {
	text := content("a")
	for name, c := range map[string]struct {
		corrupt func(packed []byte) []byte
		want    string
	}{
		"empty":           {func([]byte) []byte { return nil }, "it is cut off"},
		"cut in header":   {func(packed []byte) []byte { return packed[:50] }, "it is cut off"},
		"cut":             {func(packed []byte) []byte { return packed[:len(packed)-20] }, "it is cut off"},
		"only the header": {func(packed []byte) []byte { return packed[:8+int(packed[4])+int(packed[5])<<8] }, "it has 0 bytes"},
		"something else":  {func([]byte) []byte { return []byte(`{"product":"a"}` + "\n") }, "it does not start with its description"},
		"a byte changed":  {func(packed []byte) []byte { packed[8+int(packed[4])+int(packed[5])<<8+50] ^= 1; return packed }, ""},
		"another content": {func(packed []byte) []byte {
			encoder, err := zstd.NewWriter(nil)
			require.NoError(t, err)
			return encoder.EncodeAll([]byte(content("b")), packed[:8+int(packed[4])+int(packed[5])<<8])
		}, "SHA-256"},
		"longer": {func(packed []byte) []byte {
			encoder, err := zstd.NewWriter(nil)
			require.NoError(t, err)
			return encoder.EncodeAll([]byte("more"), packed)
		}, "it has more than its"},
	} {
		t.Run(name, func(t *testing.T) {
			eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
				put(t, bucket, describe(12, requestedAt, text), text)
				key := keys(t, bucket)[0]
				packed, err := bucket.ReadAll(t.Context(), key)
				require.NoError(t, err)
				require.NoError(t, bucket.WriteAll(t.Context(), key, c.corrupt(packed), nil))
				_, _, err = read(t, bucket, 12)
				require.ErrorIs(t, err, archive.ErrCorrupt)
				require.ErrorContains(t, err, key)
				require.ErrorContains(t, err, c.want)
			})
		})
	}
}

func TestUnreadableBucketIsNotReportedAsCorruptFile(t *testing.T) {
	eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
		text := content("a")
		put(t, bucket, describe(12, requestedAt, text), text)
		key := keys(t, bucket)[0]
		require.NoError(t, bucket.Delete(t.Context(), key))
		_, err := archive.Open(archive.New(bucket), t.Context(), key)
		require.ErrorContains(t, err, "reading "+key+" of the archive: ")
		require.NotErrorIs(t, err, archive.ErrCorrupt)
	})
}

func TestOldFilesAreRemovedAndOthersKept(t *testing.T) {
	eachBucket(t, func(t *testing.T, bucket *blob.Bucket) {
		for i := range 5 {
			put(t, bucket, describe(int64(i%2), requestedAt.Add(time.Duration(i)*time.Hour), content("a")), content("a"))
		}
		require.NoError(t, bucket.WriteAll(t.Context(), "scrapingjobs/0/notes.txt", []byte("not ours"), nil))
		reports := 0
		removed, err := archive.New(bucket).RemoveOlder(t.Context(), requestedAt.Add(3*time.Hour), func(int) { reports++ })
		require.NoError(t, err)
		require.Equal(t, 3, removed)
		require.Equal(t, 5, reports)
		require.Len(t, keys(t, bucket), 3)
	})
}

func TestTemporaryFilesOfKilledProcessesAreIgnoredAndRemoved(t *testing.T) {
	dir, text := t.TempDir(), content("a")
	bucket := openFolder(t, dir)
	put(t, bucket, describe(12, requestedAt, text), text)
	complete := keys(t, bucket)[0]
	for name, age := range map[string]time.Duration{".17a.tmp": time.Hour, ".17b.tmp": 100 * time.Hour} {
		path := filepath.Join(dir, filepath.FromSlash(complete)) + name
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
		require.NoError(t, os.Chtimes(path, time.Now(), time.Now().Add(-age)))
	}
	a := archive.New(bucket)
	key, err := archive.Latest(a, t.Context(), sink.DefaultAccount, 12)
	require.NoError(t, err)
	require.Equal(t, complete, key)
	removed, err := a.RemoveOlder(t.Context(), time.Time{}, func(int) {})
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	require.Equal(t, []string{complete, complete + ".17a.tmp"}, keys(t, bucket))
}

func TestSecretsAreRedacted(t *testing.T) {
	dashes := strings.Repeat("-", 80) + "\n"
	for text, want := range map[string]string{
		`Put "https://account.example/c/key?sig=secret&se=2026": EOF`:  `Put "https://account.example/c/key?…": EOF`,
		"open bucket s3://key:secret@bucket?region=eu: no credentials": "open bucket s3://bucket?…: no credentials",
		"no URL at all? yes": "no URL at all? yes",
		"listing: GET http://a.b/c\n" + dashes + "RESPONSE 403: 403 Forbidden\nERROR CODE: AuthorizationFailure\n" + dashes +
			"<Error>\n<Detail>secret</Detail>\n</Error>\n" + dashes: "listing: GET http://a.b/c: RESPONSE 403: 403 Forbidden, ERROR CODE: AuthorizationFailure",
		"file:///var/archive is not a directory, nor is https://a.b/c.d.": "file:///var/archive is not a directory, nor is https://a.b/c.d.",
	} {
		require.Equal(t, want, archive.Redact(text))
	}
}
