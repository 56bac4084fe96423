package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// mappedValues counts the rows of a job that have a value in each mapped column.
type mappedValues struct {
	Job, Rows int64
	Counts    pq.Int64Array
}

const (
	setMappedValues = `
UPDATE scrapehaul.imports SET mapped_values = (SELECT jsonb_object_agg(name, count) FROM unnest($2::text[], $3::bigint[]) AS of (name, count))
WHERE import_id = $1`

	// Of the sitemap's last published import.
	selectLastValues = `
SELECT scrapingjob_id AS job, records - unmapped AS rows,
       ARRAY(SELECT coalesce((mapped_values ->> name)::bigint, 0) FROM unnest($5::text[]) WITH ORDINALITY AS of (name, place) ORDER BY place) AS counts
FROM scrapehaul.imports AS import JOIN scrapehaul.scraping_jobs AS job USING (scrapingjob_id)
WHERE ` + isOfSitemap + ` AND import_id <> $3 AND mapped_values IS NOT NULL
ORDER BY import.published_at DESC LIMIT 1`
)

// countValues returns the statement that counts the values in the holding table. Exports write
// missing values as empty text.
func (m *mappedRows) countValues() string {
	counts := make([]string, len(m.Columns))
	for i, column := range m.Columns {
		name := pq.QuoteIdentifier(column.Name)
		counts[i] = "count(" + name + ")"
		if column.Type == mapping.Text {
			counts[i] += " FILTER (WHERE " + name + "::text <> '')"
		}
	}
	return fmt.Sprintf("SELECT ARRAY[%s] FROM %s", strings.Join(counts, ", "), m.holding())
}

// checkValues records how many values each mapped column has, and returns a note about columns
// without any. It withholds the import for an operator to decide if such a column is required
// or had values in the sitemap's last import.
func (i *attempt) checkValues(ctx context.Context, tx transaction) (note string, err error) {
	m, job, checkpoint := i.mapped, i.request.Job, i.Checkpoint()
	if checkpoint.Records == 0 && (!i.rowsOnly || len(i.committedColumns) == 0) {
		return "", nil
	}
	now, names := mappedValues{Rows: checkpoint.Good()}, pq.StringArray(m.names())
	if err := tx.GetContext(ctx, &now.Counts, m.countValues()); err != nil {
		return "", err
	}
	if now.Rows > 0 {
		if _, err := tx.ExecContext(ctx, setMappedValues, i.id, names, now.Counts); err != nil {
			return "", err
		}
	}
	if !slices.Contains(now.Counts, 0) {
		return "", nil
	}
	var last []mappedValues
	if err := tx.SelectContext(ctx, &last, selectLastValues, job.SitemapID, job.SitemapName, i.id, job.Account, names); err != nil {
		return "", err
	}
	last = append(last, mappedValues{Counts: make(pq.Int64Array, len(names))}) // for a first import
	empty, asked := i.emptyColumns(now, last[0])
	if len(empty) == 0 {
		return "", nil
	}
	question := sink.Question{
		Kind: sink.EmptyColumns, About: strings.Join(asked, ", "),
		Reason: fmt.Sprintf("table %s gets no value in %s", m.Table, firstOf(empty, 5)),
	}
	if len(asked) > 0 && !question.AcceptedIn(i.request.Accepted) {
		return "", &sink.WithheldError{Question: question}
	}
	return question.Reason, nil
}

// emptyColumns returns a phrase for each column without values whose source no record has, or
// that had values in the last import. asked are the names of those that an operator decides
// about.
//
// Rare values may be missing by chance: if records still have the column's source, it counts as
// lost only if that many rows would have had three values, or all rows if there are fewer.
func (i *attempt) emptyColumns(now, last mappedValues) (empty, asked []string) {
	for at, column := range i.mapped.Columns {
		if now.Counts[at] > 0 {
			continue
		}
		missing, had := i.missing(column.From), last.Counts[at]
		lost := now.Rows > 0 && had > 0 && (missing != "" || had*now.Rows >= min(3, now.Rows)*last.Rows)
		if !lost && missing == "" {
			continue
		}
		reason := fmt.Sprintf("column %q", column.Name)
		if lost {
			reason += fmt.Sprintf(", which had one in %s of %s rows of job %d", humanize.Comma(had), humanize.Comma(last.Rows), last.Job)
		}
		empty = append(empty, reason+missing)
		if lost || column.Required {
			asked = append(asked, column.Name)
		}
	}
	return empty, asked
}

func firstOf(texts []string, most int) string {
	if more := len(texts) - most; more > 0 {
		texts = append(texts[:most], fmt.Sprintf("%d more columns", more))
	}
	return strings.Join(texts, "; ")
}

// missing returns a phrase if no record has a key, with a similar key that some have. It returns
// "" if a record has the key, or if that is unknown.
func (i *attempt) missing(from string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	scraped := i.committedColumns
	_, column := mapping.Spellings(from)
	if len(scraped) == maxColumns || slices.Contains(scraped, column) {
		return ""
	}
	text := fmt.Sprintf(": no record has %q", from)
	if near := slices.IndexFunc(scraped, func(column string) bool { return letters(column) == letters(from) }); near >= 0 {
		text += fmt.Sprintf(" (they have %q)", scraped[near])
	}
	return text
}

// letters returns a name's letters and digits in lower case.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}
