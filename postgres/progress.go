package postgres

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

const (
	progressEvery = 2 * time.Second
	// progressFor is how long a statement may run. After that it counts as hanging, and the
	// heartbeat timeout ends the attempt.
	progressFor = 30 * time.Minute
)

// whileRunning calls progress several times a minute while run runs, and once after it.
func whileRunning(progress func(), run func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for range progressFor / progressEvery {
			select {
			case <-done:
				return
			case <-ticker.C:
				progress()
			}
		}
	})
	run()
	close(done)
	all.Wait()
	progress()
}

// ExecContext is sqlx's, with progress.
func (t transaction) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	t.run(func() { result, err = t.Tx.ExecContext(ctx, query, args...) })
	return result, err
}

// GetContext is sqlx's, with progress.
func (t transaction) GetContext(ctx context.Context, into any, query string, args ...any) (err error) {
	t.run(func() { err = t.Tx.GetContext(ctx, into, query, args...) })
	return err
}

func (t transaction) run(statement func()) {
	if t.progress == nil {
		statement()
		return
	}
	whileRunning(t.progress, statement)
}
