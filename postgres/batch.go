package postgres

import (
	"strconv"
)

// Delimiter and quote of the COPY data. JSON cannot contain either, so a
// record goes through as it is, with nothing to escape.
const (
	copyDelimiter = '\x02'
	copyQuote     = '\x01'
)

// Batch collects the records that are committed together. Its buffers are
// reused from one batch to the next.
type Batch struct {
	importID int64
	// rows is the COPY data: one row for each of records.
	rows    []byte
	records []batchRecord
	rejects []reject
	// rejectBytes counts what rejects hold, so that Bytes bounds the memory.
	rejectBytes int
}

type batchRecord struct {
	number     int64
	start, end int // of the JSON in rows
}

type reject struct {
	number int64
	raw    []byte
	reason string
}

// NewBatch returns an empty batch for the import.
func (i *Import) NewBatch() *Batch {
	return &Batch{importID: i.id}
}

// Add takes one record, copying data. A record that [CheckRecord] refuses is
// kept as a rejected one, with the reason.
func (b *Batch) Add(number int64, data []byte) {
	if err := CheckRecord(data); err != nil {
		b.Reject(number, data, err.Error())
		return
	}
	b.rows = strconv.AppendInt(b.rows, b.importID, 10)
	b.rows = append(b.rows, copyDelimiter)
	b.rows = strconv.AppendInt(b.rows, number, 10)
	b.rows = append(b.rows, copyDelimiter, copyQuote)
	start := len(b.rows)
	b.rows = append(b.rows, data...)
	b.records = append(b.records, batchRecord{number: number, start: start, end: len(b.rows)})
	b.rows = append(b.rows, copyQuote, '\n')
}

// Reject takes one record that cannot be imported, copying raw, with the
// reason for a person to read.
func (b *Batch) Reject(number int64, raw []byte, reason string) {
	b.rejects = append(b.rejects, reject{number: number, raw: append([]byte{}, raw...), reason: reason})
	b.rejectBytes += len(raw)
}

// Len is the number of records taken, rejected ones included.
func (b *Batch) Len() int { return len(b.records) + len(b.rejects) }

// Bytes is the memory that the records take.
func (b *Batch) Bytes() int { return len(b.rows) + b.rejectBytes }

// Reset empties the batch.
func (b *Batch) Reset() {
	b.rows = b.rows[:0]
	b.records = b.records[:0]
	b.rejects = b.rejects[:0]
	b.rejectBytes = 0
}

func (b *Batch) data(r batchRecord) []byte { return b.rows[r.start:r.end] }
