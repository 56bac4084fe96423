package activities_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// cell is a value of a record in JSON, with its column.
type cell struct{ column, value string }

// secondCSV reads RFC 4180 CSV byte by byte and skips blank lines. ok is false for
// misplaced quotes and for \r alone, which readers treat differently.
func secondCSV(file string) (rows [][]string, ok bool) {
	for i := 0; i < len(file); {
		start := i
		var row []string
		for more := true; more; {
			var value strings.Builder
			if strings.HasPrefix(file[i:], `"`) {
				for i++; ; i++ {
					if i == len(file) {
						return nil, false
					}
					if file[i] == '"' {
						if !strings.HasPrefix(file[i:], `""`) {
							i++
							break
						}
						i++
					}
					value.WriteByte(file[i])
				}
			} else {
				for ; i < len(file) && file[i] != ',' && file[i] != '\r' && file[i] != '\n'; i++ {
					if file[i] == '"' {
						return nil, false
					}
					value.WriteByte(file[i])
				}
			}
			row = append(row, value.String())
			if more = strings.HasPrefix(file[i:], ","); more {
				i++
			}
		}
		if i > start {
			rows = append(rows, row)
		}
		switch rest := file[i:]; {
		case strings.HasPrefix(rest, "\r\n"):
			i += 2
		case strings.HasPrefix(rest, "\n"), rest == "\r":
			i++
		case rest != "":
			return nil, false
		}
	}
	return rows, true
}

// numbered makes names unique: a repeated name gets the first free number.
func numbered(names []string) (unique []string) {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			for number := 2; ; number++ {
				if free := fmt.Sprintf("%s_%d", name, number); !slices.Contains(names, free) && !slices.Contains(unique, free) {
					name = free
					break
				}
			}
		}
		unique = append(unique, name)
	}
	return unique
}

// cells returns the cells of a JSON object, read by encoding/json.
func cells(object []byte) (cells []cell) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return nil
	}
	for decoder.More() {
		column, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return nil
		}
		cells = append(cells, cell{column.(string), string(value)})
	}
	return cells
}

// namesOnce reports whether no object in a JSON value repeats a name.
func namesOnce(value []byte) bool {
	var list []json.RawMessage
	_ = json.Unmarshal(value, &list)
	seen := map[string]bool{}
	for _, each := range cells(value) {
		if seen[each.column] {
			return false
		}
		seen[each.column] = true
		list = append(list, []byte(each.value))
	}
	return !slices.ContainsFunc(list, func(v json.RawMessage) bool { return !namesOnce(v) })
}

var unstorable = regexp.MustCompile(`(?i)\\u(0000|d[89a-f])`)

// requireJSONAsRead compares our reader with the second one on any file.
func requireJSONAsRead(t require.TestingT, file []byte) {
	read, err := readRecords(bytes.NewReader(file), activities.FormatJSON, 0)
	if errors.Is(err, webscraper.ErrUnreadable) {
		require.False(t, utf8.Valid(file))
		return
	}
	require.NoError(t, err)
	for line := range strings.Lines(strings.TrimPrefix(string(file), bom)) {
		if line = strings.Trim(line, " \t\r\n"); line == "" {
			continue
		}
		require.NotEmpty(t, read, "a record for each line")
		record := read[0]
		read = read[1:]
		want := cells([]byte(line))
		right := json.Valid([]byte(line)) && line[0] == '{' && utf8.ValidString(line)
		for _, each := range want {
			right = right && namesOnce([]byte(each.value))
		}
		if record.Rejected != "" {
			require.True(t, !right || unstorable.MatchString(line), "%s: %s", line, record.Rejected)
			continue
		}
		require.True(t, right, line)
		var names []string
		for _, each := range want {
			names = append(names, each.column)
		}
		for i, name := range numbered(names) {
			want[i].column = name
		}
		require.Equal(t, want, cells(record.Data), line)
		require.Len(t, decoded(t, record.Data), len(want), "every value is present: %s", record.Data)
	}
	require.Empty(t, read)
}

// requireRows compares the records that our reader returns with the rows of the file, the
// header first.
func requireRows(t require.TestingT, rows [][]string, file []byte) {
	read, err := readRecords(bytes.NewReader(file), activities.FormatCSV, 0)
	require.NoError(t, err, "%q", file)
	require.Len(t, read, len(rows)-1, "%q", file)
	columns := numbered(rows[0])
	for i, row := range rows[1:] {
		if len(row) != len(columns) || slices.ContainsFunc(row, func(value string) bool { return strings.Contains(value, "\x00") }) {
			require.NotEmpty(t, read[i].Rejected, "%q", row)
			continue
		}
		require.Empty(t, read[i].Rejected, "%q", row)
		want := map[string]any{}
		for n, column := range columns {
			want[column] = row[n]
		}
		require.Equal(t, want, decoded(t, read[i].Data))
		require.Len(t, want, len(columns))
	}
}

func decoded(t require.TestingT, object []byte) (values map[string]any) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&values), "%s", object)
	return values
}

func FuzzCSVMatchesASecondReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte) {
		text := strings.TrimPrefix(string(file), bom)
		rows, ok := secondCSV(text)
		if !ok || len(rows) == 0 || !utf8.Valid(file) || strings.Contains(strings.Join(rows[0], ""), "\x00") {
			t.Skip("readers treat it differently")
		}
		if len(rows[0]) == 1 || !slices.ContainsFunc(rows[1:], func(row []string) bool { return len(row) == len(rows[0]) }) {
			t.Skip("the delimiter is ambiguous")
		}
		requireRows(t, rows, file)
	})
}

func FuzzJSONMatchesASecondReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte) { requireJSONAsRead(t, file) })
}

// text has arbitrary characters, often ones with a special meaning.
var text = rapid.Custom(func(t *rapid.T) string {
	special := rapid.SampledFrom([]string{
		"", "", `"`, `""`, ",", ";", "\t", "|", `\`, "\n", "\r\n", "\r", " ", "a", "a,b", "price", "_2", "\u2028", "\u00a0", "é", "e\u0301", "漢", "🙂", bom, "'", `\u0061`, "{}", "null",
	})
	return strings.Join(rapid.SliceOfN(rapid.OneOf(special, special, rapid.String()), 0, 4).Draw(t, "pieces"), "")
})

// names are column names, some of them repeated.
func names(t *rapid.T) []string {
	name := rapid.OneOf(rapid.SampledFrom([]string{"price", "price", "price_2", "price_3", "web-scraper-order", ""}), text.Filter(func(s string) bool {
		return !strings.HasPrefix(s, bom) && !strings.Contains(s, "\x00")
	}))
	return rapid.SliceOfN(name, 1, 8).Draw(t, "names")
}

func TestEveryCellOfCSVArrives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		columns := names(t)
		var file strings.Builder
		if rapid.Bool().Draw(t, "byte order mark") {
			file.WriteString(bom)
		}
		lineEnd := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		quoted := len(columns) == 1 || rapid.Bool().Draw(t, "quoted") // without quotes the delimiter can be ambiguous
		write := func(row []string) {
			for i, value := range row {
				if i > 0 {
					file.WriteByte(',')
				}
				if quoted || strings.ContainsAny(value, ",\"\r\n") {
					value = `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
				}
				file.WriteString(value)
			}
		}
		rows := [][]string{columns}
		write(columns)
		for n := range rapid.IntRange(0, 6).Draw(t, "rows") {
			width := len(columns)
			if n > 0 && rapid.IntRange(0, 9).Draw(t, "odd width") == 0 {
				width = rapid.IntRange(1, 9).Draw(t, "width")
			}
			row := rapid.SliceOfN(text, width, width).Draw(t, "row")
			file.WriteString(lineEnd)
			if rapid.IntRange(0, 9).Draw(t, "blank line") == 0 {
				file.WriteString(lineEnd)
			}
			write(row)
			if width > 1 || row[0] != "" || quoted { // otherwise it is a blank line
				rows = append(rows, row)
			}
		}
		if rapid.Bool().Draw(t, "ended") {
			file.WriteString(lineEnd)
		}
		second, ok := secondCSV(strings.TrimPrefix(file.String(), bom))
		require.True(t, ok)
		require.Equal(t, rows, second)
		requireRows(t, rows, []byte(file.String()))
	})
}

func TestEveryCellOfJSONArrives(t *testing.T) {
	t.Parallel()
	letters := regexp.MustCompile(`a|é|/`)
	values := rapid.OneOf(text, text, rapid.SampledFrom([]string{
		"null", "true", "1", "-0", "1.10", "1e2", "1E400", "12345678901234567890.123", "[]", `["a",{"b":[1,2]}]`, `{"b":{"b":1},"a":[{"b":1},{"b":2}]}`,
		`{"b":1,"a":2,"\u0062":3}`, `[[{"a":1},{"a":1,"a":2}]]`, `{"a\"b":1,"a\u0022b":2}`, `{"a\\u0062":1,"ab":2}`,
	}))
	space := rapid.SampledFrom([]string{"", "", " ", "\t"})
	rapid.Check(t, func(t *rapid.T) {
		encode := func(value any) string {
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			if rapid.Bool().Draw(t, "escaped") {
				encoded = letters.ReplaceAllFunc(encoded, func(c []byte) []byte { return fmt.Appendf(nil, `\u%04X`, []rune(string(c))[0]) })
			}
			return string(encoded)
		}
		var file strings.Builder
		columns := names(t)
		for range rapid.IntRange(1, 5).Draw(t, "lines") {
			if rapid.IntRange(0, 2).Draw(t, "other columns") == 0 {
				columns = names(t)
			}
			for i, column := range columns {
				file.WriteString([]string{"{", ","}[min(i, 1)] + space.Draw(t, "before") + encode(column) + space.Draw(t, "after") + ":")
				if value := values.Draw(t, "value"); json.Valid([]byte(value)) {
					file.WriteString(value)
				} else {
					file.WriteString(encode(value))
				}
			}
			file.WriteString("}" + rapid.SampledFrom([]string{"\n", "\r\n", "\n\n", " \n"}).Draw(t, "line end"))
		}
		requireJSONAsRead(t, []byte(file.String()))
	})
}
