package postgres

import (
	"context"
	"fmt"
)

// Spool is the spool folder of a worker and the task queue that reaches it.
type Spool struct {
	Name      string `db:"name"`
	TaskQueue string `db:"task_queue"`
}

const upsertSpool = `
INSERT INTO scrapehaul.spools (name, task_queue) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET task_queue = excluded.task_queue, awaited_since = NULL`

// RegisterSpool makes a spool known to [Store.Spools], or its task queue when
// that has changed. A worker calls it whenever it starts.
func (s *Store) RegisterSpool(ctx context.Context, name, taskQueue string) error {
	if _, err := s.db.ExecContext(ctx, upsertSpool, name, taskQueue); err != nil {
		return fmt.Errorf("registering spool %s: %w", name, err)
	}
	return nil
}

const setSpoolSwept = `UPDATE scrapehaul.spools SET awaited_since = NULL WHERE name = $1`

// SpoolSwept notes that the worker of the spool has swept it.
func (s *Store) SpoolSwept(ctx context.Context, name string) error {
	if _, err := s.db.ExecContext(ctx, setSpoolSwept, name); err != nil {
		return fmt.Errorf("noting that spool %s is swept: %w", name, err)
	}
	return nil
}

const forgetSpools = `DELETE FROM scrapehaul.spools WHERE awaited_since < now() - interval '1 day'`

const awaitSpools = `
WITH awaited AS (
    UPDATE scrapehaul.spools SET awaited_since = coalesce(awaited_since, now())
    WHERE starts_with(task_queue, $1)
    RETURNING name, task_queue
)
SELECT name, task_queue FROM awaited ORDER BY name`

// Spools returns the spools whose task queue begins with the prefix, ordered by
// name, for the caller to have them swept: from then on [Store.SpoolSwept] is
// awaited. A spool for which it has been awaited for over a day is forgotten
// first, because its worker is gone; time in which nobody asks does not count.
func (s *Store) Spools(ctx context.Context, taskQueuePrefix string) ([]Spool, error) {
	if _, err := s.db.ExecContext(ctx, forgetSpools); err != nil {
		return nil, fmt.Errorf("forgetting the spools of workers that are gone: %w", err)
	}
	var spools []Spool
	if err := s.db.SelectContext(ctx, &spools, awaitSpools, taskQueuePrefix); err != nil {
		return nil, fmt.Errorf("listing the spools: %w", err)
	}
	return spools, nil
}
