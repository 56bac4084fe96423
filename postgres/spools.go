package postgres

import (
	"context"
	"fmt"
)

const upsertSpool = `
INSERT INTO scrapehaul.spools (name, task_queue) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET task_queue = excluded.task_queue, awaited_since = NULL`

// RegisterSpool notes that a worker on a spool folder of that name listens on
// the task queue, for [Store.SpoolTaskQueues]. A worker calls it whenever it
// starts, and whenever it has swept the spool.
func (s *Store) RegisterSpool(ctx context.Context, name, taskQueue string) error {
	_, err := s.exec(ctx, upsertSpool, name, taskQueue)
	return doing(err, "registering spool %s", name)
}

const forgetSpools = `DELETE FROM scrapehaul.spools WHERE awaited_since < now() - interval '1 day'`

// The rows are locked in one order: two that ask at once never wait for each other.
const awaitSpools = `
WITH locked AS MATERIALIZED (
    SELECT name FROM scrapehaul.spools WHERE starts_with(task_queue, $1) ORDER BY name FOR UPDATE
), awaited AS (
    UPDATE scrapehaul.spools AS spool SET awaited_since = coalesce(spool.awaited_since, now())
    FROM locked WHERE spool.name = locked.name
    RETURNING spool.name, spool.task_queue
)
SELECT task_queue FROM awaited ORDER BY name`

// SpoolTaskQueues returns those task queues of spools that begin with the
// prefix, ordered by the spools' names, for the caller to have the spools swept:
// from then on [Store.RegisterSpool] is awaited. A spool for which it has been
// awaited for over a day is forgotten first, because its worker is gone; time in
// which nobody asks does not count.
func (s *Store) SpoolTaskQueues(ctx context.Context, prefix string) (taskQueues []string, err error) {
	if _, err := s.exec(ctx, forgetSpools); err != nil {
		return nil, fmt.Errorf("forgetting the spools of workers that are gone: %w", err)
	}
	err = s.inTx(ctx, func(tx transaction) error { return tx.SelectContext(ctx, &taskQueues, awaitSpools, prefix) })
	return taskQueues, doing(err, "listing the spools")
}
