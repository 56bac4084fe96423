package activities_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
)

// readRecords reads all records.
func readRecords(r io.Reader, format string, maxRecordBytes int) (read []activities.Record, err error) {
	for record, err := range activities.ReadRecords(r, format, maxRecordBytes) {
		if err != nil {
			return read, err
		}
		record.Data = []byte(string(record.Data))
		read = append(read, record)
	}
	return read, nil
}

func TestRecordsAreReadAsAnImportReadsThem(t *testing.T) {
	read, err := readRecords(strings.NewReader("\ufeff{\"a\":1}\n\n[]\n{\"a\":\"0123456789\"}\n{\"b\":2}"), activities.FormatJSON, 16)
	require.NoError(t, err)
	require.Equal(t, []activities.Record{
		{Number: 1, Data: []byte(`{"a":1}`)},
		{Number: 2, Data: []byte{}, Rejected: "not a JSON object but an array"},
		{Number: 3, Data: []byte{}, Rejected: "18 bytes long, over the limit of 16 (MAX_RECORD_BYTES)"},
		{Number: 4, Data: []byte(`{"b":2}`)},
	}, read)

	read, err = readRecords(strings.NewReader("\ufeffa,b\r\n\"1\",\"x\"\"\ny\"\r\n\"2\"\r\n"), activities.FormatCSV, 0)
	require.NoError(t, err)
	require.Len(t, read, 2)
	require.Equal(t, `{"a":"1","b":"x\"\ny"}`, string(read[0].Data))
	require.Contains(t, read[1].Rejected, "wrong number of fields")
}

func TestReadingRecordsEndsWithAnError(t *testing.T) {
	broken := errors.New("the disk is gone")
	read, err := readRecords(io.MultiReader(strings.NewReader("{\"a\":1}\n{\"a\":"), iotest.ErrReader(broken)), "", 0)
	require.ErrorIs(t, err, broken)
	require.Len(t, read, 1)
}
