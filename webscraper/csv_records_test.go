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
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestCSVRecords(t *testing.T) {
	tests := map[string]struct {
		file string
		want [][]webscraper.Field
	}{
		"as exported": {bom + "web-scraper-order,title,Größe %*/\r\n\"1494492462-1\",\"Fluffy \"\"Cat\"\", blue\",\"a\nb\"\r\n",
			[][]webscraper.Field{{{Column: "web-scraper-order", Value: "1494492462-1"}, {Column: "title", Value: `Fluffy "Cat", blue`}, {Column: "Größe %*/", Value: "a\nb"}}}},
		"as documented": {"title,Color\nFluffy Cat,blue\nFluffy Dog,\n",
			[][]webscraper.Field{{{Column: "title", Value: "Fluffy Cat"}, {Column: "Color", Value: "blue"}}, {{Column: "title", Value: "Fluffy Dog"}, {Column: "Color", Value: ""}}}},
		"quote in the header":      {"size 15\",size 17\"\n\"a\",\"b\"\n", [][]webscraper.Field{{{Column: `size 15"`, Value: "a"}, {Column: `size 17"`, Value: "b"}}}},
		"quoted header":            {"\"a,1\",\"b\"\n\"1\",\"2\"\n", [][]webscraper.Field{{{Column: "a,1", Value: "1"}, {Column: "b", Value: "2"}}}},
		"blank lines":              {bom + "\r\na\r\n\r\n\"1\"\r\n\r\n", [][]webscraper.Field{{{Column: "a", Value: "1"}}}},
		"no newline at the end":    {"a\n\"1\"", [][]webscraper.Field{{{Column: "a", Value: "1"}}}},
		"CRLF in a value":          {"a\r\n\"x\r\ny\"\r\n", [][]webscraper.Field{{{Column: "a", Value: "x\r\ny"}}}},
		"only a header":            {bom + "a,b\r\n", nil},
		"a header without newline": {"a,b", nil},
		"empty":                    {"", nil},
		"only a mark":              {bom, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got [][]webscraper.Field
			for record, err := range webscraper.ReadRecords(strings.NewReader(test.file), webscraper.FormatCSV, 0) {
				require.NoError(t, err)
				got = append(got, record.Fields)
				require.EqualValues(t, len(got), record.Number)
			}
			require.Equal(t, test.want, got)
		})
	}
}

func TestBadCSVRecordIsReportedWithItsPlace(t *testing.T) {
	const before = "a,b\n\"1\n\",\"2\"\n" // 13 bytes, 3 lines
	tests := map[string]struct {
		bad    string
		want   string
		wantIs error
		goesOn bool
	}{
		"too few values":  {"\"3\"\n", "wrong number of fields: 1 values for 2 columns", csv.ErrFieldCount, true},
		"too many values": {"\"3\",\"4\",\"5\"\n", "wrong number of fields: 3 values for 2 columns", csv.ErrFieldCount, true},
		"invalid UTF-8":   {"\"3\",\"\xff\"\n", `the record is not valid UTF-8 in column "b"`, nil, true},
		"misplaced quote": {"\"3\"x,\"4\"\n", `extraneous or missing " in quoted-field, value 1`, csv.ErrQuote, true},
		"bare quote":      {"3\"x,4\n", `bare " in non-quoted-field, value 1`, csv.ErrBareQuote, true},
		"cut in a value":  {"\"3\",\"4\n", `extraneous or missing " in quoted-field, value 2`, csv.ErrQuote, false},
		"too long":        {"\"3\",\"" + strings.Repeat("x", 100) + "\"\n", "the record is too long: 106 bytes, of 100 allowed", webscraper.ErrRecordTooLong, true},
		"never closed":    {"\"3\",\"" + strings.Repeat("x\n", 200_000), "the record is too long: 400012 bytes, of 100 allowed", webscraper.ErrRecordTooLong, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var fields [][]webscraper.Field
			var errs []error
			for record, err := range webscraper.ReadRecords(strings.NewReader(before+test.bad+"\"6\",\"7\"\n"), webscraper.FormatCSV, 100) {
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fields = append(fields, record.Fields)
			}
			require.Len(t, errs, 1)
			var recordErr *webscraper.RecordError
			require.ErrorAs(t, errs[0], &recordErr)
			require.EqualError(t, recordErr, "webscraper: line 4 (byte 13): "+test.want)
			if test.wantIs != nil {
				require.ErrorIs(t, recordErr, test.wantIs)
			}
			if test.goesOn {
				require.Len(t, fields, 2)
				require.Equal(t, "6", fields[1][0].Value)
			} else {
				require.Len(t, fields, 1)
			}
		})
	}
}

func TestCSVLimitIsThatOfARecord(t *testing.T) {
	const count = 100_000
	records := 0
	for _, err := range webscraper.ReadRecords(strings.NewReader("a,b\n"+strings.Repeat("\"1\",\"2\"\n", count)), webscraper.FormatCSV, 7) {
		require.NoError(t, err)
		records++
	}
	require.Equal(t, count, records)
}

func TestCSVReadErrorEndsTheRecords(t *testing.T) {
	broken := errors.New("the disk is broken")
	tests := map[string]string{
		"":                  "webscraper: read CSV at byte 0: the disk is broken",
		"a,b\n":             "webscraper: read CSV at byte 4: the disk is broken",
		"a,b\n\"1\",\"2":    "webscraper: read CSV at byte 4: the disk is broken",
		"a,b\n1,2\n\"3\",4": "webscraper: read CSV at byte 8: the disk is broken",
	}
	for beginning, want := range tests {
		var last error
		for _, err := range webscraper.ReadRecords(io.MultiReader(strings.NewReader(beginning), iotest.ErrReader(broken)), webscraper.FormatCSV, 0) {
			require.NoError(t, last)
			last = err
		}
		require.ErrorIs(t, last, broken)
		require.EqualError(t, last, want, beginning)
	}
}

func TestCSVAndJSONHoldTheSameRecords(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	var jsonFile, csvFile bytes.Buffer
	_, err := client.DownloadScrapingJob(t.Context(), id, &jsonFile, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.NoError(t, err)
	_, err = client.DownloadScrapingJob(t.Context(), id, &csvFile, webscraper.FormatCSV, webscraper.DownloadOptions{})
	require.NoError(t, err)

	var fromJSON, fromCSV []webscraper.Record
	for record, err := range webscraper.ReadRecords(&jsonFile, webscraper.FormatJSON, 0) {
		require.NoError(t, err)
		fromJSON = append(fromJSON, record)
	}
	for record, err := range webscraper.ReadRecords(&csvFile, webscraper.FormatCSV, 0) {
		require.NoError(t, err)
		fromCSV = append(fromCSV, record)
	}
	require.Len(t, fromJSON, 500)
	require.Equal(t, fromJSON, fromCSV)
}

func FuzzReadCSVRecords(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte) {
		var last error
		for record, err := range webscraper.ReadRecords(bytes.NewReader(file), webscraper.FormatCSV, 1000) {
			last = err
			if err == nil {
				require.NotEmpty(t, record.Fields)
			} else {
				require.Empty(t, record.Fields)
			}
		}
		if last == nil || bytes.ContainsAny(file, "\"\r") || !bytes.ContainsRune(file, '\n') {
			return
		}
		// Without quotes, only the number of values, the length and UTF-8 can be wrong.
		require.ErrorAs(t, last, new(*webscraper.RecordError))
	})
}
