package webscrapertest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Records is what a job scrapes: how many records, and their bytes as the
// JSON download holds them, which can be read again and again. The zero value
// holds nothing. Make one with [JSONLines], [RawBody] or [Products].
type Records struct {
	count int64
	src   recordSource
}

// recordSource yields the bytes behind Records.
type recordSource interface {
	// open reads the first n records; seeking to the end tells their size.
	open(n int64) io.ReadSeeker
	// identity differs between sources of different bytes.
	identity() string
}

// Count is the number of records, which a finished job reports as its
// stored_record_count.
func (r Records) Count() int64 { return r.count }

// Open reads the records as the JSON download holds them, from the start.
func (r Records) Open() io.ReadSeeker {
	if r.src == nil {
		return strings.NewReader("")
	}
	return r.src.open(r.count)
}

// first is the first n of the records: what a running job has scraped so far.
func (r Records) first(n int64) Records {
	r.count = min(n, r.count)
	return r
}

// etag names exactly these bytes, for the ETag and If-Range headers.
func (r Records) etag() string {
	identity := "empty"
	if r.src != nil {
		identity = r.src.identity()
	}
	return `"` + hashOf(fmt.Sprintf("%d %s", r.count, identity))[:32] + `"`
}

// JSONLines is one record per line. Each line should be one JSON object
// without a line break; it is served byte for byte, followed by "\n".
func JSONLines(lines ...string) Records {
	src := &memoryLines{ends: make([]int64, len(lines))}
	var body strings.Builder
	for i, line := range lines {
		body.WriteString(line)
		body.WriteByte('\n')
		src.ends[i] = int64(body.Len())
	}
	src.body = body.String()
	src.hash = hashOf(src.body)
	return Records{count: int64(len(lines)), src: src}
}

type memoryLines struct {
	body string
	hash string
	ends []int64 // ends[i] is where record i ends in body
}

func (m *memoryLines) open(n int64) io.ReadSeeker {
	if n == 0 {
		return strings.NewReader("")
	}
	return strings.NewReader(m.body[:m.ends[n-1]])
}

func (m *memoryLines) identity() string { return m.hash }

// RawBody is a download of exactly these bytes, whatever format is asked for:
// a byte order mark, a cut last line, a blank line. The job reports
// storedRecordCount. While the job is running its download is empty.
func RawBody(body string, storedRecordCount int64) Records {
	return Records{count: storedRecordCount, src: &rawBody{body: body, hash: hashOf(body), count: storedRecordCount}}
}

type rawBody struct {
	body  string
	hash  string
	count int64
}

func (r *rawBody) open(n int64) io.ReadSeeker {
	if n < r.count {
		return strings.NewReader("")
	}
	return strings.NewReader(r.body)
}

func (r *rawBody) identity() string { return r.hash }

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// lines yields each line of the JSON download, without its "\n".
func (r Records) lines() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		body := bufio.NewReaderSize(r.Open(), 64<<10)
		for {
			line, err := body.ReadBytes('\n') // in memory, nothing but io.EOF
			if line = bytes.TrimSuffix(line, []byte("\n")); err != nil && len(line) == 0 {
				return
			}
			if !yield(line) || err != nil {
				return
			}
		}
	}
}
