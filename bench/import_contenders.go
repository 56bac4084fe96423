package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver"
)

// findPSQL returns psql's file: that beside PostgreSQL's other programs, which
// Debian's wrapper on PATH would only call, else the one on PATH, else "".
func findPSQL() string {
	programs, _ := postgresserver.InstalledPrograms()
	for _, candidate := range []string{filepath.Join(programs, "psql"), "psql"} {
		if psql, err := exec.LookPath(candidate); err == nil {
			return psql
		}
	}
	return ""
}

// copy loads all files at the same time.
func (p *importPart) copy(ctx context.Context, files []string) error {
	// A command's arguments can be read by everybody on the machine.
	target, err := url.Parse(p.databaseURL)
	if err != nil {
		return errors.New("the database's URL cannot be read")
	}
	password, _ := target.User.Password()
	target.User = url.User(target.User.Username())
	return inParallel(len(files), len(files), func(i int) error {
		psql := exec.CommandContext(ctx, p.psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", target.String(),
			"--command", `\copy scrapehaul.import_records (import_id, record_number, data) from '`+strings.ReplaceAll(files[i], "'", "''")+`'`)
		psql.Env = []string{"PGPASSWORD=" + password, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
		_, err := runCommandOutput(psql)
		return err
	})
}

const (
	multiInsertRows = 1000
	// multiInsertsPerCommit makes a transaction of 5,000 records, as ours is;
	// with one for each statement it would be slower.
	multiInsertsPerCommit = 5
	rowInsertSample       = 2000
)

// insertStatement inserts so many rows.
func insertStatement(rows int) string {
	var values []string
	for i := range rows {
		values = append(values, fmt.Sprintf("($%d, $%d, $%d)", 3*i+1, 3*i+2, 3*i+3))
	}
	return `INSERT INTO scrapehaul.import_records (import_id, record_number, data) VALUES ` + strings.Join(values, ", ")
}

// multiInsert is the vendor's example done well: as many rows in a statement
// as pay off, prepared once, several statements in a transaction.
func (p *importPart) multiInsert(ctx context.Context, data *dataset) (err error) {
	return p.withLines(ctx, data, func(connection *sql.Conn, lines *bufio.Scanner) (err error) {
		full, err := connection.PrepareContext(ctx, insertStatement(multiInsertRows))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, full.Close()) }()
		for number := 0; number < data.records; {
			if _, err := connection.ExecContext(ctx, `BEGIN`); err != nil {
				return err
			}
			for statement := 0; statement < multiInsertsPerCommit && number < data.records; statement++ {
				rows := min(multiInsertRows, data.records-number)
				args := make([]any, 0, 3*rows)
				for ; len(args) < 3*rows && lines.Scan(); number++ {
					args = append(args, 1, number+1, lines.Text())
				}
				if rows == multiInsertRows {
					_, err = full.ExecContext(ctx, args...)
				} else {
					_, err = connection.ExecContext(ctx, insertStatement(rows), args...)
				}
				if err != nil {
					return errors.Join(err, lines.Err())
				}
			}
			if _, err := connection.ExecContext(ctx, `COMMIT`); err != nil {
				return err
			}
		}
		return nil
	})
}

// rowInsert commits one record at a time, as most first attempts do, and
// extrapolates from the first records to all.
func (p *importPart) rowInsert(ctx context.Context, data *dataset) (took time.Duration, err error) {
	begun := time.Now()
	err = p.withLines(ctx, data, func(connection *sql.Conn, lines *bufio.Scanner) (err error) {
		insert, err := connection.PrepareContext(ctx, insertStatement(1))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, insert.Close()) }()
		for number := 1; number <= data.sample() && lines.Scan(); number++ {
			if _, err := insert.ExecContext(ctx, 1, number, lines.Text()); err != nil {
				return err
			}
		}
		return lines.Err()
	})
	return time.Since(begun) / time.Duration(data.sample()) * time.Duration(data.records), err
}

// withLines reads the spooled file for a contender of one connection.
func (p *importPart) withLines(ctx context.Context, data *dataset, load func(*sql.Conn, *bufio.Scanner) error) (err error) {
	file, err := os.Open(filepath.Join(data.dir, spoolFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	connection, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	return load(connection, lineScanner(file))
}

func lineScanner(file *os.File) *bufio.Scanner {
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 256<<10), 1<<20)
	return lines
}

// copyText appends a record as a line of COPY's text format.
func copyText(line []byte, number int, data []byte) []byte {
	line = fmt.Appendf(line, "1\t%d\t", number)
	line = append(line, bytes.ReplaceAll(data, []byte(`\`), []byte(`\\`))...) // JSON holds no raw tab or newline
	return append(line, '\n')
}
