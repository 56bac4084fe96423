package webscraper_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// csvRow is a Row that keeps.
type csvRow struct {
	webscraper.Row
	raw    string
	values []string
	err    string
}

func readCSVRows(t *testing.T, reader *webscraper.RowReader) (rows []csvRow) {
	t.Helper()
	for reader.Next() {
		row := reader.Row()
		kept := csvRow{Row: row, raw: string(row.Raw)}
		for _, value := range row.Values {
			kept.values = append(kept.values, string(value))
		}
		if row.Err != nil {
			kept.err = row.Err.Error()
		}
		kept.Raw, kept.Values, kept.Err = nil, nil, nil
		rows = append(rows, kept)
	}
	require.NoError(t, reader.Err())
	return rows
}

func TestCSVRowsTellWhereTheyAreAndHowTheyStandThere(t *testing.T) {
	const file = bom + "a,b\r\n\"1\",\"x \"\"y\"\"\r\nz\"\r\n\r\n\"2\"\n3,4"
	rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader(file), webscraper.FormatCSV, 0))
	columns := []string{"a", "b"}
	require.Equal(t, []csvRow{
		{Row: webscraper.Row{Number: 1, Offset: 8, End: 26, Size: 16, Columns: columns}, raw: "\"1\",\"x \"\"y\"\"\r\nz\"", values: []string{"1", "x \"y\"\r\nz"}},
		{Row: webscraper.Row{Number: 2, Offset: 28, End: 32, Size: 3}, raw: `"2"`, err: "wrong number of fields: 1 values for 2 columns"},
		{Row: webscraper.Row{Number: 3, Offset: 32, End: 35, Size: 3, Columns: columns}, raw: "3,4", values: []string{"3", "4"}},
	}, rows)
}

func TestRowsUnderAHeaderThatIsNotReadableAreNoRecords(t *testing.T) {
	for name, test := range map[string]struct{ header, want string }{
		"not UTF-8": {"a,\xff", `the header is not readable: the column "\xff" is not valid UTF-8`},
		"too long":  {strings.Repeat("a", 101), "the header is not readable: it is 101 bytes long, of 100 allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader(test.header+"\n\"1\",\"2\"\n\"3\",\"4\"\n"), webscraper.FormatCSV, 100))
			require.Len(t, rows, 2)
			for _, row := range rows {
				require.Equal(t, test.want, row.err)
			}
		})
	}
}

func TestBeginningOfACSVRowThatIsTooLongIsKept(t *testing.T) {
	long := "\"1\n2\n" + strings.Repeat("x", 300_000) + "\n3\""
	rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader("a\n"+long+"\n\"after\"\n"), webscraper.FormatCSV, 100_000))
	require.Len(t, rows, 2)
	require.Equal(t, long[:64<<10], rows[0].raw)
	require.EqualValues(t, len(long), rows[0].Size)
	require.Contains(t, rows[0].err, "too long: 300008 bytes")
	require.Equal(t, []string{"after"}, rows[1].values)
}

func TestCSVRowsAreReadWithoutAllocating(t *testing.T) {
	file := "a,b\r\n" + strings.Repeat("\"IdeaTab \"\"A3500L\"\"\",\"one\ntwo\"\r\n", 10_000)
	reader := webscraper.NewRowReader(strings.NewReader(file), webscraper.FormatCSV, 0)
	reader.Next()
	require.Zero(t, testing.AllocsPerRun(9_000, func() { reader.Next() }))
}

// The rows after every row are those that a reader finds which goes on there.
func FuzzResumedCSVRows(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte, limit uint8) {
		rows := readCSVRows(t, webscraper.NewRowReader(bytes.NewReader(file), webscraper.FormatCSV, int(limit)))
		for i, row := range rows {
			require.EqualValues(t, i+1, row.Number)
			end := row.Offset + row.Size
			require.Equal(t, string(file[row.Offset:end]), row.raw)
			require.Contains(t, []string{"", "\n", "\r", "\r\n"}, string(file[end:row.End]))

			resumed := readCSVRows(t, webscraper.ResumeRowReader(bytes.NewReader(file), webscraper.FormatCSV, int(limit), row.End, row.Number))
			require.Len(t, resumed, len(rows)-i-1)
			for j := range resumed {
				require.Equal(t, rows[i+1+j], resumed[j])
			}
		}
		require.Equal(t, len(rows), len(readCSVRows(t, webscraper.ResumeRowReader(bytes.NewReader(file), webscraper.FormatCSV, int(limit), 0, 0))))
	})
}

// What encoding/csv reads is read in the same way, save that it changes \r\n in
// values.
func FuzzCSVRowsAgreeWithEncodingCSV(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.ContainsRune(body, '\r') {
			t.Skip("encoding/csv reads it in its own way")
		}
		rows := csv.NewReader(bytes.NewReader(body))
		rows.FieldsPerRecord = 2
		want, err := rows.ReadAll()
		if err != nil || !bytes.Equal(body, bytes.ToValidUTF8(body, nil)) {
			t.Skip("no CSV file of two columns")
		}
		var got [][]string
		for _, row := range readCSVRows(t, webscraper.NewRowReader(strings.NewReader("a,b\n"+string(body)), webscraper.FormatCSV, 0)) {
			require.Empty(t, row.err)
			got = append(got, row.values)
		}
		require.Equal(t, want, got)
	})
}
