package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/scrapehaul/scrapehaul/webhook"
)

// importedWithin bounds the wait for the imports; they take about 15 seconds.
const importedWithin = 10 * time.Minute

// importState is a job's import in the database.
type importState struct {
	ScrapingJobID int64   `db:"scrapingjob_id"`
	Records       int64   `db:"records"`
	Rejected      int64   `db:"rejected"`
	Published     bool    `db:"published"`
	Deleted       bool    `db:"deleted"`
	Seconds       float64 `db:"seconds"`
}

const selectStates = `
SELECT DISTINCT ON (import.scrapingjob_id) import.scrapingjob_id, import.records, import.rejected,
       import.state = 'published' AS published, job.cloud_deleted_at IS NOT NULL AS deleted,
       extract(epoch FROM coalesce(import.published_at, now()) - import.started_at)::float AS seconds
FROM scrapehaul.imports AS import JOIN scrapehaul.scraping_jobs AS job USING (scrapingjob_id)
ORDER BY import.scrapingjob_id, import.requested_at DESC`

// watch shows the imports until all are published (and, without a hold, deleted
// in the cloud), then checks what readers see.
func (d *demo) watch(ctx context.Context, deleted bool) error {
	d.servers.Progress("The cloud finishes its jobs and sends its webhooks")
	ctx, cancel := context.WithTimeoutCause(ctx, importedWithin, fmt.Errorf("the jobs were not imported within %s", importedWithin))
	defer cancel()
	shown := ""
	for {
		states, done, err := d.states(ctx, deleted)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if line := progressLine(states); line != shown && ctx.Err() == nil {
			d.servers.Progress(line)
			shown = line
		}
		if done {
			break
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return cause
			}
			return nil // Ctrl-C
		case <-time.After(500 * time.Millisecond):
		}
	}
	return d.check(ctx)
}

func (d *demo) states(ctx context.Context, deleted bool) (states map[int64]importState, done bool, err error) {
	var rows []importState
	if err := d.DB.SelectContext(ctx, &rows, selectStates); err != nil {
		return nil, false, fmt.Errorf("reading the imports: %w", err)
	}
	states = map[int64]importState{}
	ready := 0
	for _, row := range rows {
		states[row.ScrapingJobID] = row
		if row.Published && (row.Deleted || !deleted) {
			ready++
		}
	}
	return states, ready == len(jobs), nil
}

func progressLine(states map[int64]importState) string {
	var parts []string
	for _, j := range jobs {
		state, started := states[j.id]
		what := "waiting"
		switch {
		case state.Deleted:
			what = "imported, verified, deleted in the cloud"
		case state.Published:
			what = "imported"
		case started:
			what = fmt.Sprintf("%d%%", 100*state.Records/j.records)
		}
		parts = append(parts, fmt.Sprintf("%s %d %s", j.sitemap, j.id, what))
	}
	return strings.Join(parts, " · ")
}

const countVisible = `
SELECT count(*) AS records, count(DISTINCT web_scraper_order) AS different
FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`

// check compares what readers see with what was scraped, and prints both.
func (d *demo) check(ctx context.Context) error {
	states, _, err := d.states(ctx, false)
	if err != nil {
		return err
	}
	d.say("")
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "job\tsitemap\texpected\trecords\trejected\timported in\t")
	var wrong []error
	for _, j := range jobs {
		var visible struct{ Records, Different int64 }
		if err := d.DB.GetContext(ctx, &visible, countVisible, j.id); err != nil {
			return fmt.Errorf("counting the records of job %d: %w", j.id, err)
		}
		state := states[j.id]
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%d\t%.1fs\t\n", j.id, j.sitemap, j.records, visible.Records, state.Rejected, state.Seconds)
		if visible.Records != j.records || visible.Different != j.records || state.Rejected != 0 {
			wrong = append(wrong, fmt.Errorf("job %d: expected %d records, found %d, %d of them distinct, %d rejected",
				j.id, j.records, visible.Records, visible.Different, state.Rejected))
		}
	}
	return errors.Join(append(wrong, table.Flush())...)
}

// hints say what to look at and what to try.
const hints = `
In another terminal, in this folder:
    export TEMPORAL_ADDRESS=$temporal DATABASE_URL='$database'
    export WEBSCRAPER_API_TOKEN=$token WEBSCRAPER_API_BASE_URI=$api CLOUD=$cloud

Watch the imports:     $ui/workflows
The status page:       $page (user $user, password $password)
Read the records:      psql $$DATABASE_URL -c 'SELECT * FROM sitemaps_latest."books" LIMIT 5'
With typed columns:    psql $$DATABASE_URL -c 'SELECT * FROM laptops'
Check everything:      go run ./starter doctor

Try next:
- Press Continue in the cloud: job 1001 of laptops runs again, grows, and replaces its records:
    curl -X POST $$CLOUD/jobs/1001/continue
  See what is new, gone and changed since job 1000, before and after:
    go run ./starter diff laptops
    psql $$DATABASE_URL -c "SELECT change, key ->> 'product-href' AS url, old, new FROM scrapehaul.changes('laptops')"
    $page/sitemap?sitemap=laptops
- Import a job again: in the Temporal UI open workflow 1002, press "More Actions", "Send a Signal",
  and send reimport. Or:
    go run ./starter reimport 1002
- Scrape a sitemap and wait for its records:
    go run ./starter run 1002 --wait
- Do the same as a step of another team's workflow: open this and press "Start Workflow"; the tab
  Relationships shows what it starts:
    $ui/workflows/start-workflow?workflowId=pipeline&workflowType=Pipeline&taskQueue=$queue
  Each publish also starts a follow-up workflow of theirs, which prints a line here.
- Break the cloud's next response, and import again: truncate, 502 and 429 are retried; empty needs
  your attention (the status page has a button for each signal), and so does 401, a refused token:
    curl -X POST $$CLOUD/faults/empty && go run ./starter reimport 1002
    go run ./starter list --needs-attention
- Send a notification twice, as the cloud may. Nothing is imported, the content is the same:
    curl -d 'scrapingjob_id=1002&status=finished&sitemap_id=1002&sitemap_name=books' '$webhook'

Ctrl-C stops everything and removes it. The logs are in $logs until then.
What the imports do from here on:`

func (d *demo) explain() {
	address, _, _ := strings.Cut(d.WebhookURL, webhook.Path)
	d.say("%s", os.Expand(hints, func(name string) string {
		return map[string]string{
			"ui": d.Temporal.UIAddress + "/namespaces/" + d.Temporal.Namespace, "temporal": d.Temporal.HostPort, "queue": hostQueue,
			"page": address + "/imports", "user": pageUser, "password": pagePassword, "webhook": d.WebhookURL,
			"database": d.Env.DatabaseURL, "cloud": d.CloudURL, "logs": d.servers.LogPath,
			"token": d.Env.APIToken, "api": d.Env.APIBaseURI, "$": "$",
		}[name]
	}))
}
