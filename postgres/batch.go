package postgres

import (
	"bytes"
	"strconv"
	"unsafe"

	"github.com/scrapehaul/scrapehaul/sink"
)

// importBatch is the [sink.Batch]. Its buffers are reused from one batch to the
// next.
type importBatch struct {
	of *attempt
	// rows is the COPY data in text format: one row for each of records. mapped is
	// that of the rows of a mapping's table, if there is one.
	rows    []byte
	mapped  []byte
	records []batchRecord
	rejects []reject
	skips   []reject
	// rejectBytes counts what rejects and skips hold, so that Bytes bounds the memory.
	rejectBytes int
	// columns are those that no record before the batch had.
	columns []string
	// unchecked is set when records were taken on trust: PostgreSQL checks them.
	unchecked bool
	// end is the mark that the batch's commit sets, in the file.
	end, lastRecordNumber int64
}

type batchRecord struct {
	number          int64
	row, start, end int // in rows: its row, and in that the escaped JSON
	mapped          int // in mapped: the end of its row
}

type reject struct {
	number int64
	raw    []byte
	reason string
}

// NewBatch returns an empty batch for the import.
func (i *attempt) NewBatch() sink.Batch {
	return &importBatch{of: i}
}

// Add takes one record, copying data; records come in the file's order, for all
// batches of an import together. A record that [CheckRecord] refuses is
// rejected with the reason: now, or, as long as there has been none, when
// PostgreSQL refuses the batch, which checks the same and more.
func (b *importBatch) Add(number int64, data []byte) {
	if len(data) == 0 || data[0] != '{' || b.of.careful.Load() || b.of.mapped != nil {
		if err := CheckRecord(data); err != nil {
			b.Reject(number, data, err.Error())
			return
		}
	} else {
		b.unchecked = true
	}
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], number, 10)
	if b.of.mapped != nil {
		var err error
		if b.mapped, err = b.of.mapped.appendRow(b.mapped, text, data); err != nil {
			b.Reject(number, data, err.Error())
			return
		}
	}
	b.columns = append(b.columns, b.of.columns.look(data)...)
	record := batchRecord{number: number, row: len(b.rows), mapped: len(b.mapped)}
	b.rows = append(b.rows, b.of.rowPrefix...)
	b.rows = append(b.rows, text...)
	b.rows = append(b.rows, '\t')
	record.start = len(b.rows)
	b.rows = appendEscaped(b.rows, data)
	record.end = len(b.rows)
	b.rows = append(b.rows, '\n')
	b.records = append(b.records, record)
}

// Reject takes one record that cannot be imported, copying raw.
func (b *importBatch) Reject(number int64, raw []byte, reason string) {
	b.rejects = append(b.rejects, reject{number: number, raw: append([]byte{}, raw...), reason: reason})
	b.rejectBytes += len(raw)
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
func (b *importBatch) Bytes() int { return len(b.rows) + len(b.mapped) + b.rejectBytes }

// Reset empties the batch.
func (b *importBatch) Reset() {
	b.rows, b.mapped = b.rows[:0], b.mapped[:0]
	b.records = b.records[:0]
	b.rejects, b.skips = b.rejects[:0], b.skips[:0]
	b.rejectBytes = 0
	b.columns = b.columns[:0]
	b.unchecked = false
}

// check rejects those of the records that CheckRecord refuses.
func (b *importBatch) check() {
	rows, records := b.rows, b.records
	b.rows, b.records, b.unchecked = b.rows[:0], b.records[:0], false
	for _, r := range records {
		data := unescaped(rows[r.start:r.end])
		if err := CheckRecord(data); err != nil {
			b.Reject(r.number, data, err.Error())
			continue
		}
		moved := r.row - len(b.rows)
		b.rows = append(b.rows, rows[r.row:r.end+1]...)
		b.records = append(b.records, batchRecord{number: r.number, row: r.row - moved, start: r.start - moved, end: r.end - moved})
	}
}

// data is a record as it came.
func (b *importBatch) data(r batchRecord) []byte { return unescaped(b.rows[r.start:r.end]) }

// appendEscaped appends data as COPY's text format wants it. JSON has a raw tab
// or line end between its tokens at most; it has backslashes, and they are
// doubled.
func appendEscaped(to, data []byte) []byte {
	if bytes.IndexByte(data, '\t') >= 0 || bytes.IndexByte(data, '\r') >= 0 || bytes.IndexByte(data, '\n') >= 0 {
		for _, c := range data {
			switch c {
			case '\t':
				to = append(to, `\t`...)
			case '\r':
				to = append(to, `\r`...)
			case '\n':
				to = append(to, `\n`...)
			case '\\':
				to = append(to, `\\`...)
			default:
				to = append(to, c)
			}
		}
		return to
	}
	for {
		next := bytes.IndexByte(data, '\\')
		if next < 0 {
			return append(to, data...)
		}
		to = append(append(to, data[:next+1]...), '\\')
		data = data[next+1:]
	}
}

// unescaped undoes appendEscaped.
func unescaped(data []byte) []byte {
	plain := make([]byte, 0, len(data))
	for {
		next := bytes.IndexByte(data, '\\')
		if next < 0 {
			return append(plain, data...)
		}
		plain = append(plain, data[:next]...)
		switch c := data[next+1]; c {
		case 't':
			plain = append(plain, '\t')
		case 'r':
			plain = append(plain, '\r')
		case 'n':
			plain = append(plain, '\n')
		default:
			plain = append(plain, c)
		}
		data = data[next+2:]
	}
}

// asString is b without a copy, for a callee that does not keep it.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // a copy of all the data is what it saves
