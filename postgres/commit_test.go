package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// recordBatches returns a source of batches for CommitBatches. Each record counts as one
// byte of the file.
func recordBatches(attempt sink.Import, batches, records int, record func(number int64) string) func(context.Context) (sink.Batch, error) {
	next := attempt.Checkpoint().LastRecordNumber
	return func(context.Context) (sink.Batch, error) {
		if batches == 0 {
			return nil, nil
		}
		batches--
		batch := attempt.NewBatch()
		for range records {
			next++
			batch.Add(next, []byte(record(next)))
		}
		batch.EndsAt(next, next)
		return batch, nil
	}
}

func good(number int64) string { return fmt.Sprintf(plain, number) }

const (
	allRows          = `SELECT count(*) FROM scrapehaul.import_records`
	lastRow          = `SELECT coalesce(max(record_number), 0) FROM scrapehaul.import_records`
	lastInCheckpoint = `SELECT last_record_number FROM scrapehaul.imports`
)

func TestBatchesAreCommittedInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 6_000))
	var ends []int64
	// The first batches are the largest, so later ones finish copying first.
	sizes := []int{2_000, 1_500, 1_000, 800, 400, 200, 99, 1}
	number := int64(0)
	next := func(context.Context) (sink.Batch, error) {
		if len(sizes) == 0 {
			return nil, nil
		}
		batch := attempt.NewBatch()
		for range sizes[0] {
			number++
			batch.Add(number, []byte(good(number)))
		}
		sizes = sizes[1:]
		batch.EndsAt(number, number)
		return batch, nil
	}
	require.NoError(t, attempt.CommitBatches(t.Context(), 4, next, func(sink.Batch) {
		checkpoint := attempt.Checkpoint()
		ends = append(ends, checkpoint.LastRecordNumber)
		require.Equal(t, checkpoint.LastRecordNumber, count(t, db, allRows))
		require.Equal(t, checkpoint.LastRecordNumber, count(t, db, lastRow))
		require.Equal(t, checkpoint.LastRecordNumber, count(t, db, lastInCheckpoint))
	}))
	require.Equal(t, []int64{2_000, 3_500, 4_500, 5_300, 5_700, 5_900, 5_999, 6_000}, ends)
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
}

func TestAnErrorLeavesTheBeginningOfTheFileCommitted(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 1_000))
	broken := errors.New("the file cannot be read")
	source := recordBatches(attempt, 7, 10, good)
	err := attempt.CommitBatches(t.Context(), 3, func(ctx context.Context) (sink.Batch, error) {
		batch, err := source(ctx)
		if batch == nil {
			err = broken
		}
		return batch, err
	}, func(sink.Batch) {})
	require.ErrorIs(t, err, broken)
	require.Equal(t, int64(70), attempt.Checkpoint().Records, "batches in flight are committed")
	require.Equal(t, int64(70), count(t, db, lastRow))

	// Another attempt takes over in the middle.
	source = recordBatches(attempt, 20, 10, good)
	handedOut := 0
	err = attempt.CommitBatches(t.Context(), 3, func(ctx context.Context) (sink.Batch, error) {
		if handedOut++; handedOut == 5 {
			begin(t, store, request(1, 1_000))
		}
		return source(ctx)
	}, func(sink.Batch) {})
	require.Error(t, err) // overtaken, or its connections were terminated
	resumed := begin(t, store, request(1, 1_000))
	require.Equal(t, resumed.Checkpoint().LastRecordNumber, count(t, db, lastRow))
	require.Equal(t, resumed.Checkpoint().Records, count(t, db, allRows))
}

// The second batch fails while the first one is still being copied.
func TestAFailedBatchLeavesEarlierOnesCommitted(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	db.MustExec(`
		CREATE SEQUENCE failures;
		CREATE FUNCTION wait_or_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.record_number = 1 THEN PERFORM pg_advisory_xact_lock(17); RETURN NEW; END IF;
			PERFORM nextval('failures'); -- survives the rollback
			RAISE 'broken';
		END $$;
		CREATE TRIGGER wait_or_fail BEFORE INSERT ON scrapehaul.import_records
		FOR EACH ROW WHEN (NEW.record_number IN (1, 11)) EXECUTE FUNCTION wait_or_fail()`)
	holding, err := db.Beginx()
	require.NoError(t, err)
	defer func() { _ = holding.Rollback() }()
	_, err = holding.Exec(`SELECT pg_advisory_xact_lock(17)`)
	require.NoError(t, err)
	attempt := begin(t, store, request(1, 1_000))
	source := recordBatches(attempt, 2, 10, good)
	done := make(chan error, 1)
	go func() { done <- attempt.CommitBatches(t.Context(), 2, source, func(sink.Batch) {}) }()
	require.Eventually(t, func() bool { return count(t, db, `SELECT count(*) FROM failures WHERE is_called`) == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, holding.Rollback())
	require.ErrorContains(t, <-done, "broken")
	require.Equal(t, int64(10), attempt.Checkpoint().Records)
	require.Equal(t, int64(10), count(t, db, lastRow))

	_, err = db.Exec(`DELETE FROM scrapehaul.import_records`)
	require.NoError(t, err)
	holding, err = db.Beginx()
	require.NoError(t, err)
	defer func() { _ = holding.Rollback() }()
	_, err = holding.Exec(`SELECT pg_advisory_xact_lock(17)`)
	require.NoError(t, err)
	attempt = begin(t, store, request(2, 1_000))
	postgres.SetPatience(attempt, time.Second)
	require.ErrorContains(t, attempt.CommitBatches(t.Context(), 2, recordBatches(attempt, 2, 10, good), func(sink.Batch) {}), "broken",
		"it does not wait for a batch that hangs")
}

// A PostgreSQL crash may lose the last batches, as they are not flushed one by one.
func TestBatchesLostByTheDatabaseAreNoticed(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 20))
	require.NoError(t, commit(t, attempt, 1, 5, plain))
	require.NoError(t, commit(t, attempt, 6, 10, plain))
	db.MustExec(`DELETE FROM scrapehaul.import_records WHERE record_number > 5`)
	db.MustExec(`UPDATE scrapehaul.imports SET committed_bytes = 5, last_record_number = 5, records = 5`)
	require.ErrorIs(t, commit(t, attempt, 11, 20, plain), sink.ErrOvertaken)
	require.Equal(t, int64(5), count(t, db, lastRow))
	require.Equal(t, int64(5), begin(t, store, request(1, 20)).Checkpoint().Records)
}

// The next batch to commit must neither wait for a connection that a later one holds, nor
// lose its own.
func TestAnImportWorksWithFewerConnectionsThanItMayUse(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	db.SetMaxOpenConns(2)
	attempt := begin(t, store, request(1, 400))
	require.NoError(t, attempt.CommitBatches(t.Context(), 8, recordBatches(attempt, 40, 10, func(number int64) string {
		if number%10 == 3 {
			return `{"cut":`
		}
		if number%10 == 7 {
			return `{"refused by PostgreSQL alone":1e200000}`
		}
		return good(number)
	}), func(sink.Batch) {}))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, sink.Checkpoint{Bytes: 400, LastRecordNumber: 400, Counts: sink.Counts{Records: 320, Rejected: 80}}, attempt.Checkpoint())
	require.Equal(t, int64(320), count(t, db, visible))
	require.Equal(t, int64(40), count(t, db, `SELECT count(*) FROM scrapehaul.rejected_records WHERE reason LIKE 'cut off%'`))
	require.Equal(t, int64(40), count(t, db, `SELECT count(*) FROM scrapehaul.rejected_records WHERE reason LIKE 'PostgreSQL refuses it: %'`))
}

func TestConnectionsReturnToThePoolWithTheirSettings(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	db.SetMaxOpenConns(1)
	attempt := begin(t, store, request(1, 10))
	require.NoError(t, commit(t, attempt, 1, 10, `{"cut":%d`))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	for _, setting := range []string{"application_name", "synchronous_commit"} {
		require.Zero(t, count(t, db, `SELECT count(*) FROM pg_settings WHERE name = $1 AND setting <> reset_val`, setting))
	}
}

// records are texts that COPY, JSON and PostgreSQL treat differently.
var records = []string{
	`{}`, `{"a":"b"}`, `{"path":"https:\/\/webscraper.io\/a"}`, `{"b":"\\"}`, `{"b":"\\\\"}`, `{"quote":"\""}`, `{"t":"\t\n\r\b\f"}`,
	"{\"tab between\":\t1}", "{\"cr\":\r1}", "{\n\"pretty\":\n1\n}", `{"null":"\\N"}`, `{"end":"\\."}`, `{"é":"ü 漢字 🙂"}`, `{"pair":"\ud83d\ude42"}`,
	`{"a":1,"a":2}`, `{"":""}`, `{"n":-0.0,"e":1E5,"big":123456789012345678901234567890}`, `{"deep":[[[{"x":[null,true,false]}]]]}`,
	`  {"blanks":1}  `, "\t{\"tab before\":1}",
	`{"long":"1","b":2,"a":3,"é":4,"zz":{"y":1,"x":"\/"}}`, `{"bb":1,"a":1,"bb":{"b":2},"a":[2]}`, `{"b":1,"a":2,"\u0062":3}`, `{"b/c":"\\/","a\/":"\\\/"}`,
	"{\"b\":1,\"a\"\t:2}", `{"b":1, "a":2}`, `{"b":"x" ,"a":2}`, `{"b":[1,2],"a":"\/\/\"\/"}`, `{"b":"\\","a":"/\\\\\/"}`,
	// refused by all
	``, `[1]`, `"text"`, `1`, `null`, `{"cut":`, `{"cut":"`, `{"a":1}}`, `{"a":1} {"b":2}`, `{'a':1}`, `{"a":01}`, `{"a":.5}`, `{"a":+1}`, `{"a":NaN}`,
	"{\"raw tab\":\"\t\"}", "{\"raw newline\":\"\n\"}", "{\"raw cr\":\"\r\"}", "{\"control\":\"\x01\"}", "{\"zero\":\"\x00\"}", "\x00", "{\"a\":1}\x01",
	`{"nul":"\u0000"}`, `{"lone":"\ud83d"}`, `{"lone":"\ude42"}`, `{"x":"\ud83dx\ude42"}`, `{"bad escape":"\x"}`, `{"cut escape":"\u12"}`, `{"a":"\"}`, `\.`, `\N`, `{"a":1},`,
	`{"b":1,"a":2,}`, `{,"b":1,"a":2}`, `{"b":1,,"a":2}`, `{"b":1,"a":2}}`, `{"b":"x""a":2}`, `{"b":"x"y,"a":2}`, `{"b":]1[,"a":2}`, `{"b":1],"a":[2}`, `{"b":},"a":2}`,
	`{"b":1,"a"}`, `{"b" "x","a":2}`, `{"b":\/1,"a":2}`, `{"b":"\ud83d\/","a":2}`, `{"b":"\\\","a":2}`, `{"b":1,"a":"\/\`, `{"b":"\u00\/0","a":1}`, "{\"b\":\"\t\",\"a\":1}",
	"{\"latin-1\":\"\xe9\"}", "{\"surrogate\":\"\xed\xa0\x80\"}", "{\"overlong\":\"\xc0\x80\"}", "{\"cut\":\"\xe6\xbc\"}", "\xef\xbb\xbf{}", "{\"feed\":\f1}", "{\u00a0\"a\":1}",
}

// Records are not checked unless PostgreSQL refuses one, so it must refuse what CheckRecord
// refuses, and store everything else unchanged.
func TestPostgreSQLAcceptsWhatCheckRecordAccepts(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	for i, record := range records {
		attempt := begin(t, store, request(i+1, 3))
		batch := attempt.NewBatch()
		for n, each := range []string{`{"before":1}`, record, `{"after":1}`} {
			batch.Add(int64(n+1), []byte(each))
		}
		batch.EndsAt(3, 3)
		require.NoError(t, commitBatch(t.Context(), attempt, batch), "%q", record)
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
		if problem := postgres.CheckRecord([]byte(record)); problem != nil {
			var rejected struct {
				Raw    string `db:"raw"`
				Reason string `db:"reason"`
			}
			require.NoError(t, db.Get(&rejected, `SELECT raw, reason FROM scrapehaul.rejected_records WHERE record_number = 2 AND import_id = $1`, attempt.ID()), "%q", record)
			require.Equal(t, record, rejected.Raw)
			require.Equal(t, problem.Error(), rejected.Reason, "%q", record)
			require.Equal(t, int64(2), attempt.Checkpoint().Records)
			continue
		}
		require.Equal(t, int64(3), attempt.Checkpoint().Records, "%q", record)
		same := false
		require.NoError(t, db.Get(&same, `SELECT data = $1::jsonb FROM scrapehaul.scraped_records WHERE record_number = 2`, record), "%q", record)
		require.True(t, same, "%q", record)
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 5))
	batch := attempt.NewBatch()
	for n, number := range []string{"1e131071", "1e131072", "1e-16383", "1e-16384"} {
		batch.Add(int64(n+1), []byte(`{"a":`+number+`}`))
	}
	batch.Add(5, []byte(`{"zz":1e2,"b":-0,"c":1.10,"d":1.0,"e":-0.00,"f":12345678901234567890.123,"g":1E-3,"é":1,"B":null}`))
	batch.EndsAt(5, 5)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	var refused []int64
	require.NoError(t, db.Select(&refused, `SELECT record_number FROM scrapehaul.rejected_records ORDER BY 1`))
	require.Equal(t, []int64{2, 4}, refused)
	var data string
	require.NoError(t, db.Get(&data, `SELECT data::text FROM scrapehaul.scraped_records WHERE record_number = 5`))
	require.Equal(t, `{"B": null, "b": 0, "c": 1.10, "d": 1.0, "e": 0.00, "f": 12345678901234567890.123, "g": 0.001, "zz": 100, "é": 1}`, data)
}

func TestADatabaseWithAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	at, err := url.Parse(postgrestest.NewDatabase(t))
	require.NoError(t, err)
	admin := connect(t, at.String())
	name := strings.TrimPrefix(at.Path, "/") + "_ascii"
	admin.MustExec(`CREATE DATABASE ` + pq.QuoteIdentifier(name) + ` TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'SQL_ASCII'`)
	t.Cleanup(func() { admin.MustExec(`DROP DATABASE ` + pq.QuoteIdentifier(name) + ` WITH (FORCE)`) })
	at.Path = "/" + name
	db := connect(t, at.String())
	_, err = postgres.Migrate(t.Context(), db)
	require.ErrorContains(t, err, "createdb --encoding=UTF8")
	require.ErrorContains(t, postgres.CheckSchema(t.Context(), db), "SQL_ASCII")
}

func TestAnyReasonIsKept(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 4))
	batch := attempt.NewBatch()
	batch.Reject(1, []byte("a"), "it is \xff\x00 odd")
	batch.Cut(2, []byte("b"), "it is \xff\x00 cut")
	batch.Skip(3, []byte("c"), "it is \xff\x00 unwanted")
	batch.Skip(4, []byte("d"), strings.Repeat("é\x00", 10_000))
	batch.EndsAt(4, 4)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	require.Equal(t, []string{"1|it is \ufffd odd", "2|it is \ufffd cut"}, rows(t, db, `SELECT record_number, reason FROM scrapehaul.rejected_records ORDER BY 1`))
	require.Equal(t, []string{"3|it is \ufffd unwanted", "4|" + strings.Repeat("é", 998) + "…"},
		rows(t, db, `SELECT record_number, reason FROM scrapehaul.skipped_records ORDER BY 1`))
}
