package webscraper_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

const bom = "\ufeff"

// readLines reads all lines, with copies of their data.
func readLines(t *testing.T, r *webscraper.RowReader) []webscraper.Row {
	t.Helper()
	var lines []webscraper.Row
	for r.Next() {
		line := r.Row()
		line.Raw = bytes.Clone(line.Raw)
		lines = append(lines, line)
	}
	require.NoError(t, r.Err())
	require.False(t, r.Next(), "the end stays the end")
	require.Zero(t, r.Row())
	return lines
}

func TestLinesHaveTheirPositionInTheFile(t *testing.T) {
	line := func(number, offset, end, size int64, data string) webscraper.Row {
		return webscraper.Row{Number: number, Offset: offset, End: end, Size: size, Raw: []byte(data)}
	}
	tests := map[string]struct {
		file string
		want []webscraper.Row
	}{
		"two lines":          {"{1}\n{22}\n", []webscraper.Row{line(1, 0, 4, 3, "{1}"), line(2, 4, 9, 4, "{22}")}},
		"no newline at end":  {"{1}\n{22}", []webscraper.Row{line(1, 0, 4, 3, "{1}"), line(2, 4, 8, 4, "{22}")}},
		"CRLF":               {"{1}\r\n{22}\r\n", []webscraper.Row{line(1, 0, 5, 4, "{1}"), line(2, 5, 11, 5, "{22}")}},
		"CR at the end":      {"{1}\r", []webscraper.Row{line(1, 0, 4, 4, "{1}")}},
		"blank lines":        {"\n{1}\n \t\r\n\n{22}\n\n", []webscraper.Row{line(1, 1, 5, 3, "{1}"), line(2, 10, 15, 4, "{22}")}},
		"surrounding spaces": {"\t {1} \r\n", []webscraper.Row{line(1, 0, 8, 7, "{1}")}},
		"BOM":                {bom + "{1}\n{22}\n", []webscraper.Row{line(1, 3, 7, 3, "{1}"), line(2, 7, 12, 4, "{22}")}},
		"BOM in the middle":  {"{1}\n" + bom + "{22}\n", []webscraper.Row{line(1, 0, 4, 3, "{1}"), line(2, 4, 12, 7, bom+"{22}")}},
		"BOM and blank line": {bom + "\n{1}\n", []webscraper.Row{line(1, 4, 8, 3, "{1}")}},
		"only a BOM":         {bom, nil},
		"part of a BOM":      {bom[:2], []webscraper.Row{line(1, 0, 2, 2, bom[:2])}},
		"empty":              {"", nil},
		"only blank lines":   {"\n\n \n  ", nil},
		"NUL and invalid":    {"\x00\xff\n", []webscraper.Row{line(1, 0, 3, 2, "\x00\xff")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, readLines(t, webscraper.NewRowReader(strings.NewReader(test.file), webscraper.FormatJSON, 0)))
			// However the bytes arrive.
			slow := iotest.OneByteReader(strings.NewReader(test.file))
			require.Equal(t, test.want, readLines(t, webscraper.NewRowReader(slow, webscraper.FormatJSON, 0)))
			eager := iotest.DataErrReader(strings.NewReader(test.file))
			require.Equal(t, test.want, readLines(t, webscraper.NewRowReader(eager, webscraper.FormatJSON, 0)))
		})
	}
}

func TestLongLinesAreReadUpToTheLimit(t *testing.T) {
	const limit = 200_000 // more than the reader's buffer
	for _, size := range []int{60_000, 65_535, 65_536, 65_537, 131_072, limit - 1, limit} {
		for _, ending := range []string{"\n", "\r\n", ""} {
			record := strings.Repeat("x", size)
			lines := readLines(t, webscraper.NewRowReader(strings.NewReader("{1}\n"+record+ending), webscraper.FormatJSON, limit))
			require.Len(t, lines, 2)
			require.True(t, record == string(lines[1].Raw), "%d bytes", size)
			require.NoError(t, lines[1].Err, "%d bytes", size)
			require.EqualValues(t, 4, lines[1].Offset)
			require.EqualValues(t, 4+size+len(ending), lines[1].End)
		}
	}
}

func TestLineThatIsTooLongIsSkipped(t *testing.T) {
	for _, limit := range []int{10, 65_535, 65_536, 200_000} {
		for _, size := range []int{limit + 1, limit + 2, limit + 65_536, limit + 1_000_000} {
			for _, ending := range []string{"\n", "\r\n"} {
				record := strings.Repeat("x", size)
				file := "{1}\n" + record + ending + "{2}\n"
				lines := readLines(t, webscraper.NewRowReader(strings.NewReader(file), webscraper.FormatJSON, limit))
				require.Len(t, lines, 3)
				long := lines[1]
				require.ErrorIs(t, long.Err, webscraper.ErrRecordTooLong, "%d bytes", size)
				require.EqualValues(t, size+len(ending)-1, long.Size)
				require.True(t, strings.Repeat("x", min(size, 64<<10)) == string(long.Raw))
				require.EqualValues(t, 4, long.Offset)
				require.Equal(t, lines[2].Offset, long.End)
				require.Equal(t, "{2}", string(lines[2].Raw))
				require.EqualValues(t, 3, lines[2].Number)
			}
		}
	}
}

func TestBlankLineIsNeverTooLong(t *testing.T) {
	file := strings.Repeat(" ", 300_000) + "\n{1}\n"
	lines := readLines(t, webscraper.NewRowReader(strings.NewReader(file), webscraper.FormatJSON, 10))
	require.Len(t, lines, 1)
	require.Equal(t, "{1}", string(lines[0].Raw))
}

func TestReadingContinuesAfterAnyLine(t *testing.T) {
	file := bom + "{1}\n\n{22}\r\n" + strings.Repeat("x", 100_000) + "\n {4}\n{5}"
	all := readLines(t, webscraper.NewRowReader(strings.NewReader(file), webscraper.FormatJSON, 0))
	require.Len(t, all, 5)
	for i, line := range all {
		got := readLines(t, webscraper.ResumeRowReader(strings.NewReader(file), webscraper.FormatJSON, 0, line.End, line.Number))
		require.Equal(t, all[i+1:], append([]webscraper.Row{}, got...))
	}
	none := readLines(t, webscraper.ResumeRowReader(strings.NewReader(file), webscraper.FormatJSON, 0, 0, 0))
	require.Equal(t, all, none)
}

func TestReadErrorIsNotTheEndOfTheFile(t *testing.T) {
	broken := errors.New("the disk is broken")
	r := webscraper.NewRowReader(io.MultiReader(strings.NewReader("{1}\n{2"), iotest.ErrReader(broken)), webscraper.FormatJSON, 0)
	require.True(t, r.Next())
	require.Equal(t, "{1}", string(r.Row().Raw))
	require.False(t, r.Next(), "a cut line is not returned")
	require.ErrorIs(t, r.Err(), broken)
	require.EqualError(t, r.Err(), "webscraper: read JSON Lines at byte 6: the disk is broken")
	require.False(t, r.Next())
	require.ErrorIs(t, r.Err(), broken)
}

func TestWrappedEOFIsAnError(t *testing.T) {
	broken := fmt.Errorf("connection lost: %w", io.EOF)
	for _, format := range []webscraper.Format{webscraper.FormatJSON, webscraper.FormatCSV} {
		r := webscraper.NewRowReader(io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(broken)), format, 0)
		for r.Next() {
		}
		require.ErrorIs(t, r.Err(), broken)
	}
}

func TestLinesAreReadWithoutAllocating(t *testing.T) {
	file := bytes.Repeat([]byte(`{"product":"IdeaTab A3500L"}`+"\n"), 10_000)
	reader := webscraper.NewRowReader(bytes.NewReader(file), webscraper.FormatJSON, 0)
	require.Zero(t, testing.AllocsPerRun(9_000, func() { reader.Next() }))
}

func FuzzJSONLines(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte, limit uint8) {
		skipUnreadable(t, file, webscraper.FormatJSON, int(limit))
		lines := readLines(t, webscraper.NewRowReader(bytes.NewReader(file), webscraper.FormatJSON, int(limit)))
		end := int64(0)
		for i, line := range lines {
			require.EqualValues(t, i+1, line.Number)
			require.GreaterOrEqual(t, line.Offset, end)
			end = line.Offset + line.Size
			if end < int64(len(file)) {
				require.EqualValues(t, '\n', file[end])
				end++
			}
			require.Equal(t, end, line.End)
			raw := string(file[line.Offset : line.Offset+line.Size])
			if line.Err != nil {
				raw = raw[:min(len(raw), 64<<10)]
			}
			require.Equal(t, strings.Trim(raw, " \t\r"), string(line.Raw))
		}
	})
}

func BenchmarkJSONLines(b *testing.B) {
	line := fmt.Sprintf("{%q:%q}\n", "description", strings.Repeat("x", 500))
	file := strings.Repeat(line, 10_000)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		reader := webscraper.NewRowReader(strings.NewReader(file), webscraper.FormatJSON, 0)
		for reader.Next() {
		}
	}
}
