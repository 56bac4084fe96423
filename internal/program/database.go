package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/postgres"
)

// DatabaseFlags are the settings of the database.
type DatabaseFlags struct {
	DatabaseURL string `env:"DATABASE_URL" placeholder:"URL" help:"PostgreSQL database: postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full."`
}

// Validate reports invalid settings to s, without the URL, which is a secret.
func (f *DatabaseFlags) Validate(s *Settings) {
	if err := postgres.CheckDatabaseURL(f.DatabaseURL); err != nil {
		s.Problem("DATABASE_URL %v", err)
	}
}

// Connect returns a pool of at most maxConnections connections, opened when needed.
func (f *DatabaseFlags) Connect(maxConnections int) (*sqlx.DB, error) {
	db, err := postgres.Open(f.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL %w", err)
	}
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	return db, nil
}

// Open connects to the database, migrates its schema and returns the schema's version. It
// logs what it waits for.
func (f *DatabaseFlags) Open(ctx context.Context, maxConnections int, logger *slog.Logger) (*sqlx.DB, int64, error) {
	db, err := f.Connect(maxConnections)
	if err != nil {
		return nil, 0, err
	}
	version, err := postgres.Migrate(ctx, db, func(sentence string) { logger.Warn(sentence) })
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("the database of DATABASE_URL: %w", err), db.Close())
	}
	return db, version, nil
}
