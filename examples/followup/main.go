// Followup is a worker with a workflow that starts for every published import: it keeps
// the prices of each scraping job in a table of its own. Run it with DATABASE_URL and the
// TEMPORAL_* variables, and the importing workers with ON_PUBLISHED=RefreshPrices@prices.
package main

import (
	"context"
	"database/sql"
	"log"
	"os"
	"time"

	_ "github.com/lib/pq" // the driver
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/sink"
)

// RefreshPrices processes a published import: ON_PUBLISHED=RefreshPrices@prices.
func RefreshPrices(ctx workflow.Context, published sink.Publication) (rows int64, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Hour})
	var p *prices
	err = workflow.ExecuteActivity(ctx, p.Copy, published.ScrapingJobID).Get(ctx, &rows)
	return rows, err
}

type prices struct{ db *sql.DB }

const createTable = `
CREATE TABLE IF NOT EXISTS prices (
    scrapingjob_id bigint, record_number bigint, product text, price text,
    PRIMARY KEY (scrapingjob_id, record_number)
)`

// Copy replaces the job's prices with those of its published import. It selects by job
// and not by import: a newer import may be published by now, and its follow-up may run
// first.
func (p *prices) Copy(ctx context.Context, scrapingJobID int64) (rows int64, err error) {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit there is nothing to roll back
	if _, err := tx.ExecContext(ctx, `DELETE FROM prices WHERE scrapingjob_id = $1`, scrapingJobID); err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, `
		INSERT INTO prices SELECT scrapingjob_id, record_number, data ->> 'product', data ->> 'price'
		FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, scrapingJobID)
	if err != nil {
		return 0, err
	}
	if rows, err = result.RowsAffected(); err != nil {
		return 0, err
	}
	return rows, tx.Commit()
}

func main() {
	temporal, err := client.Dial(envconfig.MustLoadDefaultClientOptions())
	check(err)
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	check(err)
	_, err = db.Exec(createTable)
	check(err)
	w := worker.New(temporal, "prices", worker.Options{})
	w.RegisterWorkflow(RefreshPrices)
	w.RegisterActivity(&prices{db})
	check(w.Run(worker.InterruptCh()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
