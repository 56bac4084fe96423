package webscraper

import (
	"io"
	"iter"
)

// ReadRecords reads the records of a download of a scraping job, in [FormatJSON]
// or [FormatCSV], as [RowReader] reads its rows. It holds one record in memory; the
// limit of its length is maxRecordBytes, and 16 MiB if that is 0.
//
// A row that is not a record yields a [*RecordError], after which the reading goes
// on: a line of JSON Lines that was cut or is not an object, a row of CSV that has
// another number of values than there are columns or a misplaced quote, and either
// when it is not UTF-8 or too long. An error of r is the last thing yielded.
//
// As everywhere in encoding/json, half a surrogate pair (\ud800) becomes U+FFFD,
// and of two columns with the same name the last counts. To decode records into a
// struct of your own, use [RowReader] and json.Unmarshal.
func ReadRecords(r io.Reader, format Format, maxRecordBytes int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		rows := NewRowReader(r, format, maxRecordBytes)
		for rows.Next() {
			row := rows.Row()
			fields, err := row.fields(format)
			if err != nil {
				err = &RecordError{Line: rows.lines.rowLine, Offset: row.Offset, Err: err}
			}
			if !yield(Record{Number: row.Number, Fields: fields}, err) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Record{}, err)
		}
	}
}

func (r *Row) fields(format Format) (fields []Field, err error) {
	if r.Err != nil {
		return nil, r.Err
	}
	if format == FormatJSON {
		return parseJSONRecord(r)
	}
	for i, value := range r.Values {
		fields = append(fields, Field{Column: r.Columns[i], Value: string(value)})
	}
	return fields, nil
}
