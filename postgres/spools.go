package postgres

import (
	"context"
	"fmt"
)

const upsertSpool = `
INSERT INTO scrapehaul.spools (name, task_queue) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET task_queue = excluded.task_queue, awaited_since = NULL`

// RegisterSpool records that a worker with that spool polls the task queue, for
// [Store.SpoolTaskQueues]. A worker calls it when it starts and after each sweep of the spool.
func (s *Store) RegisterSpool(ctx context.Context, name, taskQueue string) error {
	_, err := s.exec(ctx, upsertSpool, name, taskQueue)
	return doing(err, "registering spool %s", name)
}

const forgetSpools = `DELETE FROM scrapehaul.spools WHERE awaited_since < now() - interval '1 day'`

// Locks the rows in a fixed order, so that concurrent calls do not deadlock.
const awaitSpools = `
WITH locked AS MATERIALIZED (
    SELECT name FROM scrapehaul.spools WHERE starts_with(task_queue, $1) ORDER BY name FOR UPDATE
), awaited AS (
    UPDATE scrapehaul.spools AS spool SET awaited_since = coalesce(spool.awaited_since, now())
    FROM locked WHERE spool.name = locked.name
    RETURNING spool.name, spool.task_queue
)
SELECT task_queue FROM awaited ORDER BY name`

// SpoolTaskQueues returns the task queues of spools with the prefix, ordered by spool name. The
// caller must have the spools swept: from now on it waits for [Store.RegisterSpool]. First it
// forgets spools that it has waited for over a day for, because their workers are gone. Time
// before the first call does not count.
func (s *Store) SpoolTaskQueues(ctx context.Context, prefix string) (taskQueues []string, err error) {
	if _, err := s.exec(ctx, forgetSpools); err != nil {
		return nil, fmt.Errorf("forgetting the spools of workers that are gone: %w", err)
	}
	err = s.inTx(ctx, func(tx transaction) error { return tx.SelectContext(ctx, &taskQueues, awaitSpools, prefix) })
	return taskQueues, doing(err, "listing the spools")
}
