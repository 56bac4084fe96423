package postgres

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"unsafe"

	"github.com/scrapehaul/scrapehaul/sink"
)

// importBatch is the [sink.Batch]. Its buffers are reused from one batch to the
// next.
type importBatch struct {
	of *attempt
	// data is the records' JSON, one after the other, with what those that were
	// changed came as.
	data    []byte
	records []batchRecord
	// mapped is the COPY data of the rows of a mapping's table, if there is one.
	mapped  []byte
	rejects []reject
	skips   []reject
	// unmapped are those of records that have no row in mapped, with the reason only.
	unmapped []reject
	// rejectBytes counts what rejects and skips hold, so that Bytes bounds the memory.
	rejectBytes int
	// writer and chunk are for the COPY data of the records.
	writer recordWriter
	chunk  []byte
	// end is the mark that the batch's commit sets, in the file.
	end, lastRecordNumber int64
}

type batchRecord struct {
	number int64
	json   span // in data
	raw    span // in data, as it came
	row    span // in mapped
}

type span struct{ start, end int }

type reject struct {
	number int64
	raw    []byte
	reason string
	cut    bool // raw is its beginning
}

// NewBatch returns an empty batch for the import.
func (i *attempt) NewBatch() sink.Batch {
	return &importBatch{of: i}
}

// Add takes one record, copying data; records come in the file's order, for all
// batches of an import together. A record that [CheckRecord] refuses is rejected
// with the reason: now, or when PostgreSQL, which checks the same and more, refuses
// the batch.
func (b *importBatch) Add(number int64, data []byte) {
	b.AddChanged(number, data, data)
}

// AddChanged is Add for data that came as raw, copying that too.
func (b *importBatch) AddChanged(number int64, data, raw []byte) {
	if b.of.mapped != nil || !bytes.HasPrefix(data, []byte("{")) {
		if err := CheckRecord(data); err != nil {
			b.Reject(number, raw, err.Error())
			return
		}
	}
	b.add(number, data, raw)
}

// add takes a record without a look at it.
func (b *importBatch) add(number int64, data, raw []byte) {
	row := span{start: len(b.mapped)}
	if b.of.rowsOnly {
		b.writer.look(data) // for its columns
	}
	if b.of.mapped != nil {
		var err error
		if b.mapped, err = b.of.mapped.appendRow(b.mapped, number, data); err != nil && b.of.rowsOnly {
			b.Reject(number, raw, b.of.mapped.misfit(err))
			return
		} else if err != nil {
			b.unmapped = append(b.unmapped, reject{number: number, reason: err.Error()})
		}
	}
	row.end = len(b.mapped)
	b.data = append(b.data, data...)
	record := batchRecord{number: number, json: span{len(b.data) - len(data), len(b.data)}, row: row}
	if record.raw = record.json; !bytes.Equal(raw, data) {
		b.data = append(b.data, raw...)
		record.raw = span{len(b.data) - len(raw), len(b.data)}
	}
	b.records = append(b.records, record)
}

// Reject takes one record that cannot be imported, copying raw.
func (b *importBatch) Reject(number int64, raw []byte, reason string) {
	b.rejects = append(b.rejects, reject{number: number, raw: append([]byte{}, raw...), reason: reason})
	b.rejectBytes += len(raw)
}

// Cut is Reject for a record of which only the beginning is at hand.
func (b *importBatch) Cut(number int64, beginning []byte, reason string) {
	b.Reject(number, beginning, reason)
	b.rejects[len(b.rejects)-1].cut = true
}

// Skip takes one record that is not to be imported, copying raw.
func (b *importBatch) Skip(number int64, raw []byte, reason string) {
	b.skips = append(b.skips, reject{number: number, raw: append([]byte{}, raw...), reason: reason})
	b.rejectBytes += len(raw)
}

// EndsAt sets the mark that the batch's commit sets: bytes is the offset in the
// file after the batch, lastRecordNumber the number of the last record before
// that.
func (b *importBatch) EndsAt(bytes, lastRecordNumber int64) {
	b.end, b.lastRecordNumber = bytes, lastRecordNumber
}

// Len is the number of records taken, rejected and skipped ones included.
func (b *importBatch) Len() int { return len(b.records) + len(b.rejects) + len(b.skips) }

// Bytes is the memory that the records take.
func (b *importBatch) Bytes() int { return len(b.data) + len(b.mapped) + b.rejectBytes }

// Reset empties the batch.
func (b *importBatch) Reset() {
	b.data, b.mapped = b.data[:0], b.mapped[:0]
	b.records = b.records[:0]
	b.rejects, b.skips, b.unmapped = b.rejects[:0], b.skips[:0], b.unmapped[:0]
	b.rejectBytes = 0
	b.writer.reset()
	if cap(b.chunk) > 2*copyChunkBytes { // there was a very long record
		b.chunk = nil
	}
}

// check tells the records apart that CheckRecord refuses.
func (b *importBatch) check() (passed []batchRecord, refused []reject) {
	for _, record := range b.records {
		if err := CheckRecord(b.at(record.json)); err != nil {
			refused = append(refused, reject{number: record.number, raw: b.at(record.raw), reason: err.Error()})
		} else {
			passed = append(passed, record)
		}
	}
	return passed, refused
}

// at is what stands there in data.
func (b *importBatch) at(place span) []byte { return b.data[place.start:place.end] }

// rows yields the COPY data of records, in chunks that end before a newline and
// are valid until the next one.
func (b *importBatch) rows(records []batchRecord) iter.Seq[[]byte] {
	return func(yield func(chunk []byte) bool) {
		if b.chunk == nil {
			b.chunk = make([]byte, 0, copyChunkBytes+copyChunkBytes/8)
		}
		b.chunk = b.chunk[:0]
		for i, record := range records {
			b.chunk = append(b.chunk, b.of.rowPrefix...)
			b.chunk = strconv.AppendInt(b.chunk, record.number, 10)
			b.chunk = append(b.chunk, '\t')
			b.chunk = b.writer.append(b.chunk, b.at(record.json))
			if len(b.chunk) < copyChunkBytes && i < len(records)-1 {
				b.chunk = append(b.chunk, '\n')
				continue
			}
			if !yield(b.chunk) {
				return
			}
			b.chunk = b.chunk[:0]
		}
	}
}

// mappedRows yields the COPY data of the records' rows of the mapping's table,
// likewise.
func (b *importBatch) mappedRows(records []batchRecord) iter.Seq[[]byte] {
	return func(yield func(chunk []byte) bool) {
		for i := 0; i < len(records); {
			chunk := records[i].row
			for i++; i < len(records) && records[i].row.start == chunk.end && chunk.end-chunk.start < copyChunkBytes; i++ {
				chunk.end = records[i].row.end
			}
			if !yield(b.mapped[chunk.start : chunk.end-1]) {
				return
			}
		}
	}
}

// appendEscaped appends data as COPY's text format wants it. JSON has a raw tab
// or line end between its tokens at most; it has backslashes, and they are
// doubled.
func appendEscaped(to, data []byte) []byte {
	if hasWhitespaceToEscape(data) {
		return append(to, copyEscaper.Replace(asString(data))...)
	}
	return appendBackslashed(to, data, false)
}

// appendBackslashed appends data with its backslashes doubled, and with unslash without
// those before slashes, by which JSON means nothing.
func appendBackslashed(to, data []byte, unslash bool) []byte {
	for {
		next := bytes.IndexByte(data, '\\')
		if next < 0 {
			return append(to, data...)
		}
		to = append(to, data[:next]...)
		data = data[next+1:]
		switch {
		case unslash && bytes.HasPrefix(data, []byte("/")):
		case bytes.HasPrefix(data, []byte(`\`)): // what follows these two is not escaped
			to, data = append(to, `\\\\`...), data[1:]
		default:
			to = append(to, `\\`...)
		}
	}
}

var copyEscaper = strings.NewReplacer("\t", `\t`, "\r", `\r`, "\n", `\n`, `\`, `\\`)

func hasWhitespaceToEscape(data []byte) bool {
	return bytes.IndexByte(data, '\t') >= 0 || bytes.IndexByte(data, '\r') >= 0 || bytes.IndexByte(data, '\n') >= 0
}

// asString is b without a copy, for a callee that does not keep it.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // a copy of all the data is what it saves
