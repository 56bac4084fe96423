package webscrapertest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Records is what a job scrapes: the number of records, and their bytes in the JSON
// download, which can be read any number of times. The zero value is empty. Create Records
// with [JSONLines], [RawBody] or [Products].
type Records struct {
	count int64
	src   recordSource
}

// recordSource yields the bytes behind Records.
type recordSource interface {
	// open reads the first n records; seeking to the end returns their size.
	open(n int64) io.ReadSeeker
	// identity differs between sources of different bytes.
	identity() string
}

// Count returns the number of records: the stored_record_count of a finished job.
func (r Records) Count() int64 { return r.count }

// Open returns a reader of the JSON download.
func (r Records) Open() io.ReadSeeker {
	if r.src == nil {
		return strings.NewReader("")
	}
	return r.src.open(r.count)
}

// first returns the first n records: what a running job has scraped so far.
func (r Records) first(n int64) Records {
	r.count = min(n, r.count)
	return r
}

// etag identifies exactly these bytes, for the ETag and If-Range headers.
func (r Records) etag() string {
	identity := "empty"
	if r.src != nil {
		identity = r.src.identity()
	}
	return fmt.Sprintf(`"%x"`, sha256.Sum256(fmt.Appendf(nil, "%d %s", r.count, identity)))
}

// JSONLines returns one record per line. Each line should be a JSON object without a line
// break; it is served byte for byte, followed by "\n".
func JSONLines(lines ...string) Records {
	var body strings.Builder
	for _, line := range lines {
		body.WriteString(line)
		body.WriteByte('\n')
	}
	return Records{count: int64(len(lines)), src: &memory{body: body.String()}}
}

// RawBody returns Records whose download is exactly these bytes, in every format: for a
// byte order mark, a cut last line, a blank line. The job reports storedRecordCount. Its
// download is empty while it runs.
func RawBody(body string, storedRecordCount int64) Records {
	return Records{count: storedRecordCount, src: &memory{body: body, raw: true, count: storedRecordCount}}
}

// memory holds given bytes.
type memory struct {
	body string
	// raw means that the bytes are sent in every format: all of them for count records,
	// none for fewer.
	raw   bool
	count int64
}

func (m *memory) open(n int64) io.ReadSeeker {
	switch {
	case m.raw && n >= m.count:
		return strings.NewReader(m.body)
	case m.raw:
		return strings.NewReader("")
	}
	end := 0
	for range n {
		end += strings.IndexByte(m.body[end:], '\n') + 1
	}
	return strings.NewReader(m.body[:end])
}

func (m *memory) identity() string { return m.body }

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
