package postgres

import (
	"bytes"
	"iter"
	"strconv"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
	"github.com/scrapehaul/scrapehaul/sink"
)

// importBatch is the [sink.Batch]. It reuses its buffers after Reset.
type importBatch struct {
	of *attempt
	// data is the JSON of all records, with the original of each changed one after it.
	data    []byte
	records []batchRecord
	// mapped is the COPY data for the mapped table, if there is one.
	mapped  []byte
	rejects []reject
	skips   []reject
	// unmapped holds the numbers and reasons of records without a row in mapped.
	unmapped []reject
	// rejectBytes is the size of rejects and skips, which Bytes includes.
	rejectBytes int
	// writer and chunk produce the COPY data of the records.
	writer recordWriter
	chunk  []byte
	// end and lastRecordNumber are the checkpoint that the commit sets.
	end, lastRecordNumber int64
}

type batchRecord struct {
	number int64
	json   span // in data
	raw    span // in data, the original
	row    span // in mapped
}

type span struct{ start, end int }

type reject struct {
	number int64
	raw    []byte
	reason string
	cut    bool // raw is only the beginning
}

// NewBatch returns an empty batch for the import.
func (i *attempt) NewBatch() sink.Batch {
	return &importBatch{of: i}
}

// Add copies one record into the batch. Records must be added in file order, across
// all batches of an import. A record that [CheckRecord] refuses is rejected with the
// reason, either now or when PostgreSQL refuses the batch.
func (b *importBatch) Add(number int64, data []byte) {
	b.AddChanged(number, data, data)
}

// AddChanged is Add for a record that arrived as raw and was changed to data.
func (b *importBatch) AddChanged(number int64, data, raw []byte) {
	if b.of.mapped != nil || !bytes.HasPrefix(data, []byte("{")) {
		if err := CheckRecord(data); err != nil {
			b.Reject(number, raw, err.Error())
			return
		}
	}
	b.add(number, data, raw)
}

// add takes a record without checking it.
func (b *importBatch) add(number int64, data, raw []byte) {
	row := span{start: len(b.mapped)}
	if b.of.rowsOnly {
		b.writer.scan(data) // for its columns
	}
	if b.of.mapped != nil {
		var err error
		if b.mapped, err = b.of.mapped.appendRow(b.mapped, number, data); err != nil && b.of.rowsOnly {
			b.Reject(number, raw, b.of.mapped.unmappedReason(err))
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

// Reject copies one record that cannot be imported.
func (b *importBatch) Reject(number int64, raw []byte, reason string) {
	b.rejects = append(b.rejects, reject{number: number, raw: append([]byte{}, raw...), reason: reason})
	b.rejectBytes += len(raw)
}

// Cut is Reject for a record of which only the beginning is available.
func (b *importBatch) Cut(number int64, beginning []byte, reason string) {
	b.Reject(number, beginning, reason)
	b.rejects[len(b.rejects)-1].cut = true
}

// Skip copies one record that must not be imported.
func (b *importBatch) Skip(number int64, raw []byte, reason string) {
	b.skips = append(b.skips, reject{number: number, raw: append([]byte{}, raw...), reason: reason})
	b.rejectBytes += len(raw)
}

// EndsAt sets the checkpoint to store with the batch: bytes is the file offset after
// the batch, lastRecordNumber the number of the last record before that offset.
func (b *importBatch) EndsAt(bytes, lastRecordNumber int64) {
	b.end, b.lastRecordNumber = bytes, lastRecordNumber
}

// Len returns the number of records in the batch, including rejected and skipped ones.
func (b *importBatch) Len() int { return len(b.records) + len(b.rejects) + len(b.skips) }

// Bytes returns the memory that the records use.
func (b *importBatch) Bytes() int { return len(b.data) + len(b.mapped) + b.rejectBytes }

// Reset empties the batch.
func (b *importBatch) Reset() {
	b.data, b.mapped = b.data[:0], b.mapped[:0]
	b.records = b.records[:0]
	b.rejects, b.skips, b.unmapped = b.rejects[:0], b.skips[:0], b.unmapped[:0]
	b.rejectBytes = 0
	b.writer.reset()
	if cap(b.chunk) > 2*copyChunkBytes { // after a very long record
		b.chunk = nil
	}
}

// check splits the records into those that pass CheckRecord and those that do not.
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

// at returns that span of data.
func (b *importBatch) at(place span) []byte { return b.data[place.start:place.end] }

// rows yields the COPY data of records in chunks without a trailing newline. A chunk is
// valid until the next one.
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

// mappedRows yields the COPY data for the mapped table, like rows.
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

// appendEscaped appends data in COPY's text format. JSON often has backslashes, but raw
// tabs and line ends only between tokens.
func appendEscaped(to, data []byte) []byte {
	if hasWhitespaceToEscape(data) {
		return append(to, copyEscaper.Replace(jsontext.AsString(data))...)
	}
	return appendBackslashed(to, data, false)
}

// appendBackslashed appends data with doubled backslashes. With unslash it drops those
// before slashes, which mean nothing in JSON.
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
		case bytes.HasPrefix(data, []byte(`\`)): // an escaped backslash
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
