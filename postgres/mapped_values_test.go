package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// tryPublished publishes a job with these records and returns its problem, or why it was
// withheld.
func tryPublished(t *testing.T, store *postgres.Store, job int64, records []string, accepted ...sink.Question) (problem string, withheld *sink.WithheldError) {
	t.Helper()
	r := ofSitemap("shop", ofJob(job, request(int(job), int64(len(records)))))
	r.RequestedAt, r.Accepted = r.RequestedAt.Add(time.Duration(job)*time.Minute+time.Duration(len(accepted))*time.Second), accepted
	r.WorkflowRunID = fmt.Sprint("run ", len(accepted))
	attempt := begin(t, store, r)
	batch := attempt.NewBatch()
	for i, record := range records {
		batch.Add(int64(i+1), []byte(record))
	}
	batch.EndsAt(int64(len(records)), int64(len(records)))
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	err := attempt.Publish(t.Context(), func() {})
	if err != nil {
		require.ErrorAs(t, err, &withheld)
		require.NoError(t, attempt.Abandon(t.Context()))
	}
	return attempt.Problem(), withheld
}

// times returns n records of a shape, with their numbers as URLs.
func times(n int, record string) (records []string) {
	for i := range n {
		records = append(records, fmt.Sprintf(record, i))
	}
	return records
}

const full = `{"url":"%d","price":"$5","stock":"7"}`

func TestMappedColumnThatLosesItsValuesNeedsAnOperator(t *testing.T) {
	t.Parallel()
	const before = "table public.products gets no value in column "
	for name, c := range map[string]struct {
		last, now []string
		says      string // "" for nothing
		asked     bool
	}{
		"the key is renamed":              {times(10, full), times(10, `{"url":"%d","Price ":"$5","stock":"7"}`), before + `"price", which had one in 10 of 10 rows of job 1: no record has "price" (they have "Price ")`, true},
		"the key is gone":                 {times(10, full), times(1, `{"url":"%d","price":"$5"}`), before + `"in Stock", which had one in 10 of 10 rows of job 1: no record has "stock"`, true},
		"several keys are gone":           {times(2, full), times(2, `{"url":"%d"}`), before + `"price", which had one in 2 of 2 rows of job 1: no record has "price"; column "in Stock", which had one in 2 of 2 rows of job 1: no record has "stock"`, true},
		"the site no longer has values":   {times(10, full), times(3, `{"url":"%d","price":"null","stock":"7"}`), before + `"price", which had one in 10 of 10 rows of job 1`, true},
		"null in all records":             {times(10, full), times(2, `{"url":"%d","price":null,"stock":"7"}`), before + `"price", which had one in 10 of 10 rows of job 1`, true},
		"rare values, by chance":          {append(times(9, `{"url":"%d","price":null,"stock":"7"}`), full), times(20, `{"url":"%d","price":null,"stock":"7"}`), "", false},
		"rare values, in many rows":       {append(times(9, `{"url":"%d","price":null,"stock":"7"}`), full), times(30, `{"url":"%d","price":null,"stock":"7"}`), before + `"price", which had one in 1 of 10 rows of job 1`, true},
		"one record has it":               {times(10, full), append(times(9, `{"url":"%d","stock":"7"}`), full), "", false},
		"the last had none":               {times(10, `{"url":"%d","price":null,"stock":"7"}`), times(10, `{"url":"%d","price":null,"stock":"7"}`), "", false},
		"no record had the key last time": {times(10, `{"url":"%d","stock":"7"}`), times(10, `{"url":"%d","stock":"7","price ":"$5"}`), before + `"price": no record has "price" (they have "price ")`, false},
		"the first job lacks it":          {nil, times(10, `{"url":"%d","price":"$5","in Stock":"7"}`), before + `"in Stock": no record has "stock"`, false},
		"the first job lacks the key":     {nil, times(10, `{"URL":"%d","price":"$5","stock":"7"}`), before + `"url": no record has "url" (they have "URL")`, true},
		"no records":                      {times(10, full), nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, db := newMapped(t, upsert)
			if c.last != nil {
				_, withheld := tryPublished(t, store, 1, c.last)
				require.Nil(t, withheld)
			}
			rowsBefore := rows(t, db, allProducts)
			problem, withheld := tryPublished(t, store, 2, c.now)
			if !c.asked {
				require.Nil(t, withheld)
				require.Equal(t, c.says, problem)
				return
			}
			require.NotNil(t, withheld)
			require.Equal(t, c.says, withheld.Reason)
			require.Equal(t, rowsBefore, rows(t, db, allProducts))

			_, again := tryPublished(t, store, 2, c.now, sink.Question{Kind: sink.ManyRowsMissing, Worse: 100}, sink.Question{Kind: sink.EmptyColumns, About: "another"})
			require.Equal(t, withheld, again)
			problem, again = tryPublished(t, store, 2, c.now, sink.Question{}, sink.Question{}, withheld.Question)
			require.Nil(t, again)
			require.Equal(t, c.says, problem)
		})
	}
}

func TestColumnAcceptedWithoutValuesIsNotAskedAboutAgain(t *testing.T) {
	t.Parallel()
	store, _ := newMapped(t, upsert)
	_, withheld := tryPublished(t, store, 1, times(10, full))
	require.Nil(t, withheld)
	without := times(10, `{"url":"%d","stock":"7"}`)
	_, withheld = tryPublished(t, store, 2, without)
	require.NotNil(t, withheld)
	_, again := tryPublished(t, store, 2, without, withheld.Question)
	require.Nil(t, again)
	problem, again := tryPublished(t, store, 3, without)
	require.Nil(t, again)
	require.Equal(t, `table public.products gets no value in column "price": no record has "price"`, problem)
}

func TestColumnsAreNotComparedWithAnotherAccountsSitemap(t *testing.T) {
	t.Parallel()
	store, _ := newMapped(t, replaceJob+strings.Replace(strings.TrimPrefix(replaceJob, "\nmappings:\n"), "- sitemap", "- account: acme\n    sitemap", 1))
	_, err := publishRecords(t.Context(), store, 1, "acme:shop", times(10, full)...)
	require.NoError(t, err)
	_, err = publishRecords(t.Context(), store, 2, "shop", times(10, `{"url":"%d","price":"null","stock":"7"}`)...)
	require.NoError(t, err)
	_, err = publishRecords(t.Context(), store, 3, "acme:shop", times(10, `{"url":"%d","price":"null","stock":"7"}`)...)
	require.ErrorContains(t, err, `column "price", which had one in 10 of 10 rows of job 1`)
}

func TestEmptyTextIsNotAValueOfAMappedColumn(t *testing.T) {
	t.Parallel()
	store, _ := newMapped(t, products+"mode: replace-job\n")
	_, withheld := tryPublished(t, store, 1, times(10, full))
	require.Nil(t, withheld)
	_, withheld = tryPublished(t, store, 2, times(10, `{"url":"","price":"$%d","stock":"7"}`))
	require.NotNil(t, withheld)
	require.Equal(t, "url", withheld.About)
}
