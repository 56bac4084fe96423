package webscraper_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// csvRow is a Row that stays valid after the next call of Next.
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

func TestCSVRowsHaveTheirPositionAndRawText(t *testing.T) {
	const file = bom + "a,b\r\n\"1\",\"x \"\"y\"\"\r\nz\"\r\n\r\n\"2\"\n3,4"
	rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader(file), webscraper.FormatCSV, 0))
	columns := []string{"a", "b"}
	require.Equal(t, []csvRow{
		{Row: webscraper.Row{Number: 1, Offset: 8, End: 26, Size: 16, Columns: columns}, raw: "\"1\",\"x \"\"y\"\"\r\nz\"", values: []string{"1", "x \"y\"\r\nz"}},
		{Row: webscraper.Row{Number: 2, Offset: 28, End: 32, Size: 3}, raw: `"2"`, err: "wrong number of fields: 1 values for 2 columns"},
		{Row: webscraper.Row{Number: 3, Offset: 32, End: 35, Size: 3, Columns: columns}, raw: "3,4", values: []string{"3", "4"}},
	}, rows)
}

func TestCSVIsReadAsAPersonWouldReadIt(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		columns []string
		want    [][]string
	}{
		"as exported": {bom + "web-scraper-order,title,Größe %*/\r\n\"1494492462-1\",\"Fluffy \"\"Cat\"\", blue\",\"a\nb\"\r\n",
			[]string{"web-scraper-order", "title", "Größe %*/"}, [][]string{{"1494492462-1", `Fluffy "Cat", blue`, "a\nb"}}},
		"as documented":          {"title,Color\nFluffy Cat,blue\nFluffy Dog,\n", []string{"title", "Color"}, [][]string{{"Fluffy Cat", "blue"}, {"Fluffy Dog", ""}}},
		"quote in the header":    {"size 15\",size 17\"\n\"a\",\"b\"\n", []string{`size 15"`, `size 17"`}, [][]string{{"a", "b"}}},
		"quote at a name":        {"a,\"b\n\"1\",\"2\"\n\"\",\"\"\n", []string{"a", `"b`}, [][]string{{"1", "2"}, {"", ""}}},
		"quoted header":          {"\"a,1\",\"b\"\n\"1\",\"2\"\n", []string{"a,1", "b"}, [][]string{{"1", "2"}}},
		"line end in a name":     {bom + "order,\"title\r\nof it\",price\r\n\"1\",\"Lamp\nsmall\",\"12.90\"\r\n", []string{"order", "title\r\nof it", "price"}, [][]string{{"1", "Lamp\nsmall", "12.90"}}},
		"blank lines":            {bom + "\r\na\r\n\r\n\"1\"\r\n\r\n", []string{"a"}, [][]string{{"1"}}},
		"no newline at the end":  {"a\n\"1\"", []string{"a"}, [][]string{{"1"}}},
		"CRLF in a value":        {"a\r\n\"x\r\ny\"\r\n", []string{"a"}, [][]string{{"x\r\ny"}}},
		"semicolons":             {bom + "order;title;price\r\n\"1\";\"Lamp; small\";\"12,90\"\r\n\"2\";\"Chair\";\"49,00\"\r\n", []string{"order", "title", "price"}, [][]string{{"1", "Lamp; small", "12,90"}, {"2", "Chair", "49,00"}}},
		"bare semicolons":        {"a;b\n1,5;2\n", []string{"a", "b"}, [][]string{{"1,5", "2"}}},
		"a comma in a name":      {"a;\"b, c\"\n1;2\n", []string{"a", "b, c"}, [][]string{{"1", "2"}}},
		"a bare comma in a name": {"a;b, c\n1;2\n", []string{"a", "b, c"}, [][]string{{"1", "2"}}},
		"commas, and semicolons": {"a;x,b;y\n1;2,3;4\n", []string{"a;x", "b;y"}, [][]string{{"1;2", "3;4"}}},
		"commas, and others":     {"a,b\n1|2|3,C:\\x\\y\n4|5|6,C:\\z\\\t\n", []string{"a", "b"}, [][]string{{"1|2|3", `C:\x\y`}, {"4|5|6", "C:\\z\\\t"}}},
		"tabs":                   {"a\tb\n1\t2\n3\t\n", []string{"a", "b"}, [][]string{{"1", "2"}, {"3", ""}}},
		"pipes":                  {"a|b\n1|\"2|\n\"\n", []string{"a", "b"}, [][]string{{"1", "2|\n"}}},
		"backslashes":            {"order\\text\r\n\"1\"\\\"a \"\"quoted\"\" word, and a comma\"\r\n", []string{"order", "text"}, [][]string{{"1", `a "quoted" word, and a comma`}}},
		"one column":             {"a;b\n\"1;2\"\n\"3\"\n", []string{"a;b"}, [][]string{{"1;2"}, {"3"}}},
		"only a header":          {bom + "a,b\r\n", nil, nil},
		"a bare header":          {"a,b", nil, nil},
		"empty":                  {"", nil, nil},
		"only a byte order mark": {bom, nil, nil},
		"one wrong byte":         {"a,b\n1,\"é\"\n2,x\n", []string{"a", "b"}, [][]string{{"1", "é"}, {"2", "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got [][]string
			rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader(test.file), webscraper.FormatCSV, 0))
			for i, row := range rows {
				require.Empty(t, row.err)
				require.Equal(t, test.columns, row.Columns)
				got = append(got, row.values)
				resumed := webscraper.ResumeRowReader(strings.NewReader(test.file), webscraper.FormatCSV, 0, row.End, row.Number)
				require.Equal(t, rows[i+1:], append([]csvRow{}, readCSVRows(t, resumed)...))
			}
			require.Equal(t, test.want, got)
		})
	}
}

func TestFileThatIsNotCSVIsUnreadable(t *testing.T) {
	semicolons := "a;b;c\n" + strings.Repeat("\"1\";\"2\";\"3\"\n", 20)
	utf16 := "a\x00,\x00b\x00\n\x001\x00,\x002\x00\n\x00"
	for name, test := range map[string]struct{ file, want string }{
		"a header too long":      {strings.Repeat("a", 101) + "\n1\n", "its header is invalid: the record is too long: 101 bytes, of 100 allowed"},
		"a header not UTF-8":     {"a,Gr\xf6\xdfe\né,2\n", "it is not UTF-8 (first in line 1), possibly Windows-1252: save it as UTF-8"},
		"Windows-1252":           {"a,b\r\n1,2\r\n3,Caf\xe9\r\n4,\x805\r\n", "it is not UTF-8 (first in line 3), possibly Windows-1252: save it as UTF-8"},
		"Windows-1252, one row":  {"a,b\r\n1,Caf\xe9\r\n", "it is not UTF-8 (first in line 2), possibly Windows-1252: save it as UTF-8"},
		"UTF-16":                 {"\xff\xfe" + utf16, "it is UTF-16: save it as UTF-8"},
		"UTF-16, big":            {"\xfe\xff\x00a\x00\n", "it is UTF-16: save it as UTF-8"},
		"UTF-16 without a BOM":   {utf16, "it is UTF-16: save it as UTF-8"},
		"carriage returns":       {"a,b\r1,2\r3,4", `its lines end with \r alone: save it with \n`},
		"a title":                {"Export of shop\r\na,b,c\r\n\"1\",\"2\",\"3\"\r\n", "its rows have 3 columns and its header has 1, separated by ',': check that the first line is the complete header"},
		"a title with a comma":   {"Export, of shop\r\na,b,c\r\n\"1\",\"2\",\"3\"\r\n", "its rows have 3 columns and its header has 2, separated by ',': check that the first line is the complete header"},
		"a title over another":   {"sep=;\r\n" + semicolons, "its rows have 3 columns and its header has 2, separated by ';': check that the first line is the complete header"},
		"half a header":          {"a\n1,2\n3,4\n", "its rows have 2 columns and its header has 1, separated by ',': check that the first line is the complete header"},
		"semicolons, not always": {semicolons + "1,2,3\n", `its delimiter seems to be ';', with 3 columns in the header, but 1 of the first 21 rows differ: export it with commas`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reader := range []*webscraper.RowReader{
				webscraper.NewRowReader(strings.NewReader(test.file), webscraper.FormatCSV, 100),
				webscraper.ResumeRowReader(strings.NewReader(test.file), webscraper.FormatCSV, 100, int64(len(test.file)-1), 2),
			} {
				require.False(t, reader.Next())
				require.ErrorIs(t, reader.Err(), webscraper.ErrUnreadable)
				require.EqualError(t, reader.Err(), "webscraper: the file cannot be read: "+test.want)
			}
		})
	}
	reader := webscraper.NewRowReader(strings.NewReader("\xff\xfe{\x00}\x00\n\x00"), webscraper.FormatJSON, 0)
	require.False(t, reader.Next())
	require.EqualError(t, reader.Err(), "webscraper: the file cannot be read: it is UTF-16: save it as UTF-8")
}

func TestCSVFormIsDetectedAtTheStartOfTheFile(t *testing.T) {
	var file strings.Builder
	file.WriteString("a;b\n")
	for file.Len() < 1<<20 {
		file.WriteString("\"" + strings.Repeat("é; \n", 2000) + "\";2\n")
	}
	file.WriteString("3,4\n")
	long := readCSVRows(t, webscraper.NewRowReader(strings.NewReader("a;b\n1;"+strings.Repeat("x", 100_000)), webscraper.FormatCSV, 0))
	require.Equal(t, []string{"a", "b"}, long[0].Columns)
	rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader(file.String()), webscraper.FormatCSV, 0))
	require.Greater(t, len(rows), 50)
	for _, row := range rows[:len(rows)-1] {
		require.Empty(t, row.err)
	}
	require.Equal(t, "wrong number of fields: 1 values for 2 columns", rows[len(rows)-1].err)
}

func TestInvalidRowIsRejectedAloneWithItsPosition(t *testing.T) {
	const before = "a,b\n\"1\n\",\"2\"\n" // 13 bytes
	for name, test := range map[string]struct {
		bad       string
		want      string
		continues bool
	}{
		"too few values":  {"\"3\"\n", "wrong number of fields: 1 values for 2 columns", true},
		"too many values": {"\"3\",\"4\",\"5\"\n", "wrong number of fields: 3 values for 2 columns", true},
		"invalid UTF-8":   {"\"3\",\"\xff\"\n", `the record is not valid UTF-8 in column "b"`, true},
		"misplaced quote": {"\"3\"x,\"4\"\n", `extraneous or missing " in quoted-field, value 1`, true},
		"bare quote":      {"3\"x,4\n", `bare " in non-quoted-field, value 1`, true},
		"cut in a value":  {"\"3\",\"4\n", `extraneous or missing " in quoted-field, value 2`, false},
		"too long":        {"\"3\",\"" + strings.Repeat("x", 100) + "\"\n", "the record is too long: 106 bytes, of 100 allowed", true},
		"never closed":    {"\"3\",\"" + strings.Repeat("x\n", 200_000), "the record is too long: 400012 bytes, of 100 allowed", false},
	} {
		t.Run(name, func(t *testing.T) {
			rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader(before+test.bad+"\"6\",\"7\"\n"), webscraper.FormatCSV, 100))
			require.EqualValues(t, 13, rows[1].Offset)
			require.Equal(t, test.want, rows[1].err)
			require.Equal(t, test.continues, len(rows) == 3)
			if test.continues {
				require.Equal(t, []string{"6", "7"}, rows[2].values)
			}
		})
	}
}

func TestCSVReadErrorEndsTheRows(t *testing.T) {
	broken := errors.New("the disk is broken")
	for beginning, want := range map[string]string{
		"":                  "webscraper: read CSV at byte 0: the disk is broken",
		"a,b\n":             "webscraper: read CSV at byte 4: the disk is broken",
		"a,b\n\"1\",\"2":    "webscraper: read CSV at byte 4: the disk is broken",
		"a,b\n1,2\n\"3\",4": "webscraper: read CSV at byte 8: the disk is broken",
	} {
		reader := webscraper.NewRowReader(io.MultiReader(strings.NewReader(beginning), iotest.ErrReader(broken)), webscraper.FormatCSV, 0)
		for reader.Next() {
		}
		require.ErrorIs(t, reader.Err(), broken)
		require.EqualError(t, reader.Err(), want, beginning)
	}
}

func TestCSVLimitIsThatOfARecord(t *testing.T) {
	const count = 100_000
	rows := readCSVRows(t, webscraper.NewRowReader(strings.NewReader("a,b\n"+strings.Repeat("\"1\",\"2\"\n", count)), webscraper.FormatCSV, 7))
	require.Len(t, rows, count)
	require.Empty(t, rows[count-1].err)
}

func TestStartOfACSVRowThatIsTooLongIsKept(t *testing.T) {
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

func skipUnreadable(t *testing.T, file []byte, format webscraper.Format, limit int) {
	t.Helper()
	reader := webscraper.NewRowReader(bytes.NewReader(file), format, limit)
	for reader.Next() {
	}
	if errors.Is(reader.Err(), webscraper.ErrUnreadable) {
		t.Skip(reader.Err())
	}
}

// A reader that resumes after any row returns the remaining rows.
func FuzzResumedCSVRows(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte, limit uint8) {
		skipUnreadable(t, file, webscraper.FormatCSV, int(limit))
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

// Rows agree with encoding/csv, except that it changes \r\n in values.
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
		skipUnreadable(t, []byte("a,b\n"+string(body)), webscraper.FormatCSV, 0)
		var got [][]string
		for _, row := range readCSVRows(t, webscraper.NewRowReader(strings.NewReader("a,b\n"+string(body)), webscraper.FormatCSV, 0)) {
			require.Empty(t, row.err)
			got = append(got, row.values)
		}
		require.Equal(t, want, got)
	})
}
