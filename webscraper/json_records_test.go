package webscraper_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestJSONRecordKeepsItsColumnsAndDigits(t *testing.T) {
	const file = `{"web-scraper-order":"1614248295-1","web-scraper-start-url":"https:\/\/webscraper.io\/","b":"x","a":"","n":12345678901234567890.10,"e":1E400,` +
		`"none":null,"yes":true,"no":false,"list":[1, 2],"object":{"z":1.0,"a":2},"Größe %*\/":"ä\u00e4\ud83d\ude00"}` + "\n"
	var records []webscraper.Record
	for record, err := range webscraper.ReadRecords(strings.NewReader(file), webscraper.FormatJSON, 0) {
		require.NoError(t, err)
		records = append(records, record)
	}
	require.Equal(t, []webscraper.Record{{Number: 1, Fields: []webscraper.Field{
		{Column: "web-scraper-order", Value: "1614248295-1"},
		{Column: "web-scraper-start-url", Value: "https://webscraper.io/"},
		{Column: "b", Value: "x"},
		{Column: "a", Value: ""},
		{Column: "n", Value: json.Number("12345678901234567890.10")},
		{Column: "e", Value: json.Number("1E400")},
		{Column: "none", Value: nil},
		{Column: "yes", Value: true},
		{Column: "no", Value: false},
		{Column: "list", Value: json.RawMessage("[1, 2]")},
		{Column: "object", Value: json.RawMessage(`{"z":1.0,"a":2}`)},
		{Column: "Größe %*/", Value: "ää😀"},
	}}}, records)

	record := records[0]
	texts := map[string]string{
		"b": "x", "a": "", "n": "12345678901234567890.10", "none": "", "yes": "true", "no": "false",
		"list": "[1, 2]", "object": `{"z":1.0,"a":2}`, "missing": "",
	}
	for column, want := range texts {
		require.Equal(t, want, record.Text(column), column)
	}
	_, ok := record.Value("none")
	require.True(t, ok)
	_, ok = record.Value("missing")
	require.False(t, ok)

	written, err := json.Marshal(record)
	require.NoError(t, err)
	require.Equal(t, `{"web-scraper-order":"1614248295-1","web-scraper-start-url":"https://webscraper.io/","b":"x","a":"","n":12345678901234567890.10,"e":1E400,`+
		`"none":null,"yes":true,"no":false,"list":[1,2],"object":{"z":1.0,"a":2},"Größe %*/":"ää😀"}`, string(written))
}

func TestBuiltInColumnsHaveTwoSpellings(t *testing.T) {
	tests := map[string][2]string{
		`{"web-scraper-order":"1614248295-1","web-scraper-start-url":"https:\/\/a.test"}`: {"1614248295-1", "https://a.test"},
		`{"web_scraper_order":"1614248295-1","web_scraper_start_url":"https:\/\/a.test"}`: {"1614248295-1", "https://a.test"},
		`{"web-scraper-order":null}`: {"", ""},
		`{}`:                         {"", ""},
	}
	for line, want := range tests {
		for record, err := range webscraper.ReadRecords(strings.NewReader(line), webscraper.FormatJSON, 0) {
			require.NoError(t, err)
			require.Equal(t, want, [2]string{record.Text("web-scraper-order"), record.Text("web_scraper_start_url")}, line)
		}
	}
}

func TestBadLineIsReportedWithItsPlaceAndSkipped(t *testing.T) {
	tests := map[string]struct {
		bad  string
		want string
	}{
		"cut":            {`{"a":"1","b`, "not JSON at byte 11 of the line: unexpected end of JSON input"},
		"trailing comma": {`{"a":"1",}`, "not JSON at byte 10 of the line: invalid character '}' looking for beginning of object key string"},
		"two objects":    {`{"a":1}{"b":2}`, "not JSON at byte 8 of the line: invalid character '{' after top-level value"},
		"array":          {`["a"]`, `not a JSON object: "[\"a\"]"`},
		"null":           {"null", `not a JSON object: "null"`},
		"plain text":     {"<html>", "not JSON at byte 1 of the line: invalid character '<' looking for beginning of value"},
		"invalid UTF-8":  {"{\"a\":\"\xff\"}", "the record is not valid UTF-8"},
		"NUL":            {"{\"a\":\"\x00\"}", "not JSON at byte 7 of the line: invalid character '\\x00' in string literal"},
		"mark":           {bom + "{}", "not JSON at byte 1 of the line: invalid character 'ï' looking for beginning of value"},
		"too long":       {`{"a":"` + strings.Repeat("x", 100) + `"}`, "the record is too long: 108 bytes, of 100 allowed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := "{\"n\":1}\n\n" + test.bad + "\n{\"n\":2}\n"
			var numbers []int64
			var errs []error
			for record, err := range webscraper.ReadRecords(strings.NewReader(file), webscraper.FormatJSON, 100) {
				numbers = append(numbers, record.Number)
				if err != nil {
					require.Empty(t, record.Fields)
					errs = append(errs, err)
				}
			}
			require.Equal(t, []int64{1, 2, 3}, numbers)
			require.Len(t, errs, 1)
			var recordErr *webscraper.RecordError
			require.ErrorAs(t, errs[0], &recordErr)
			require.EqualValues(t, 3, recordErr.Line)
			require.EqualValues(t, 9, recordErr.Offset)
			require.EqualError(t, recordErr, "webscraper: line 3 (byte 9): "+test.want)
			require.Equal(t, name == "too long", errors.Is(errs[0], webscraper.ErrRecordTooLong))
		})
	}
}

func TestCutLastLineIsReported(t *testing.T) {
	var last error
	for _, err := range webscraper.ReadRecords(strings.NewReader("{\"a\":1}\n{\"a\":"), webscraper.FormatJSON, 0) {
		last = err
	}
	require.EqualError(t, last, "webscraper: line 2 (byte 8): the last line has no newline and is not complete JSON: unexpected end of JSON input")
}

func TestLastLineNeedsNoNewline(t *testing.T) {
	count := 0
	for _, err := range webscraper.ReadRecords(strings.NewReader(bom+"{\"a\":1}\r\n{\"a\":2}"), webscraper.FormatJSON, 0) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 2, count)
}

func TestSecondColumnOfANameReplacesTheFirst(t *testing.T) {
	for record, err := range webscraper.ReadRecords(strings.NewReader(`{"a":1,"b":2,"a":3}`), webscraper.FormatJSON, 0) {
		require.NoError(t, err)
		require.Equal(t, []webscraper.Field{{Column: "a", Value: json.Number("3")}, {Column: "b", Value: json.Number("2")}}, record.Fields)
	}
}

func TestReadErrorEndsTheRecords(t *testing.T) {
	broken := errors.New("the disk is broken")
	var errs []error
	for _, err := range webscraper.ReadRecords(io.MultiReader(strings.NewReader("{\"a\":1}\n{"), iotest.ErrReader(broken)), webscraper.FormatJSON, 0) {
		errs = append(errs, err)
	}
	require.Len(t, errs, 2)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], broken)
	require.NotErrorAs(t, errs[1], new(*webscraper.RecordError))
}

func TestReadingRecordsCanBeStopped(t *testing.T) {
	for _, err := range webscraper.ReadRecords(webscrapertest.Products(3, 1).Open(), webscraper.FormatJSON, 0) {
		require.NoError(t, err)
		break
	}
	for _, err := range webscraper.ReadRecords(strings.NewReader("bad\nbad\n"), webscraper.FormatJSON, 0) {
		require.Error(t, err)
		break
	}
}

func TestWrappedEndOfFileIsNoEnd(t *testing.T) {
	broken := fmt.Errorf("connection lost: %w", io.EOF)
	for _, format := range []webscraper.Format{webscraper.FormatJSON, webscraper.FormatCSV} {
		var last error
		for _, err := range webscraper.ReadRecords(io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(broken)), format, 0) {
			last = err
		}
		require.ErrorContains(t, last, "connection lost")
	}
}

func FuzzReadJSONRecords(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte) {
		lines := webscraper.NewRowReader(strings.NewReader(string(file)), webscraper.FormatJSON, 1000)
		for record, err := range webscraper.ReadRecords(strings.NewReader(string(file)), webscraper.FormatJSON, 1000) {
			require.True(t, lines.Next(), "as many records as lines")
			line := lines.Row()
			require.Equal(t, line.Number, record.Number)
			want, invalid := decodeObject(line.Raw)
			valid := line.Err == nil && line.Raw[0] == '{' && invalid == nil
			if err != nil {
				var recordErr *webscraper.RecordError
				require.ErrorAs(t, err, &recordErr)
				require.Equal(t, line.Offset, recordErr.Offset)
				if valid {
					require.ErrorContains(t, err, "UTF-8")
				}
				continue
			}
			require.True(t, valid)
			require.Len(t, record.Fields, len(want))
			written, err := json.Marshal(record)
			require.NoError(t, err)
			got, err := decodeObject(written)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.False(t, lines.Next())
	})
}

// decodeObject decodes a JSON object, all digits of its numbers kept.
func decodeObject(data []byte) (object map[string]any, err error) {
	if !json.Valid(data) {
		return nil, errors.New("invalid JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	err = dec.Decode(&object)
	return object, err
}
