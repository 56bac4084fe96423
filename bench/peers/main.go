// Peers loads a download with pgx alone, for the benchmark, which measures it against scrapehaul:
//
//	DATABASE_URL=… peers records.json
//
// It is a module of its own, so that embedders get no second driver.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

func main() {
	if err := load(context.Background(), os.Getenv("DATABASE_URL"), os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// load copies the file's records in binary, in one stream and one transaction.
func load(ctx context.Context, databaseURL, name string) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	connection, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close(ctx)) }()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 256<<10), 1<<20)
	row, number := make([]any, 3), int64(0)
	_, err = connection.CopyFrom(ctx, pgx.Identifier{"scrapehaul", "import_records"}, []string{"import_id", "record_number", "data"},
		pgx.CopyFromFunc(func() ([]any, error) {
			if !lines.Scan() {
				return nil, lines.Err()
			}
			number++
			row[0], row[1], row[2] = int64(1), number, lines.Bytes()
			return row, nil
		}))
	return err
}
