package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver"
)

// findPSQL returns psql's file: the one next to PostgreSQL's other programs, which
// Debian's wrapper on PATH would only call, else the one on PATH.
func findPSQL() (string, error) {
	programs, _ := postgresserver.InstalledPrograms()
	if psql, err := exec.LookPath(filepath.Join(programs, "psql")); err == nil {
		return psql, nil
	}
	return exec.LookPath("psql")
}

// copy loads all files at the same time.
func (p *importPart) copy(ctx context.Context, files []string) error {
	return inParallel(len(files), len(files), func(i int) error {
		return p.runPSQL(ctx, copyFrom("scrapehaul.import_records (import_id, record_number, data)", files[i], ""))
	})
}

func copyFrom(table, file, options string) string {
	return `\copy ` + table + ` from '` + strings.ReplaceAll(file, "'", "''") + `' ` + options
}

// runPSQL runs the commands in one process, each in its own transaction.
func (p *importPart) runPSQL(ctx context.Context, commands ...string) error {
	// A command's arguments can be read by everybody on the machine.
	target, err := url.Parse(p.databaseURL)
	if err != nil {
		return errors.New("the database's URL cannot be read")
	}
	password, _ := target.User.Password()
	target.User = url.User(target.User.Username())
	args := []string{"--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", target.String()}
	for _, command := range commands {
		args = append(args, "--command", command)
	}
	psql := exec.CommandContext(ctx, p.psql, args...)
	psql.Env = []string{"PGPASSWORD=" + password, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	_, err = runCommandOutput(psql)
	return err
}

const (
	multiInsertRows = 1000
	// multiInsertsPerCommit makes a transaction of 5,000 records, as ours is;
	// with one for each statement it would be slower.
	multiInsertsPerCommit = 5
)

// insertStatement inserts n rows.
func insertStatement(rows int) string {
	var values []string
	for i := range rows {
		values = append(values, fmt.Sprintf("($%d, $%d, $%d)", 3*i+1, 3*i+2, 3*i+3))
	}
	return `INSERT INTO scrapehaul.import_records (import_id, record_number, data) VALUES ` + strings.Join(values, ", ")
}

// insert inserts the records over one connection, with a statement that is prepared once.
func (p *importPart) insert(ctx context.Context, data *dataset) (err error) {
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
	full, err := connection.PrepareContext(ctx, insertStatement(multiInsertRows))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, full.Close()) }()
	lines := lineScanner(file)
	for number := 0; number < data.records; {
		if _, err := connection.ExecContext(ctx, `BEGIN`); err != nil {
			return err
		}
		for statement := 0; statement < multiInsertsPerCommit && number < data.records; statement++ {
			args := make([]any, 0, 3*multiInsertRows)
			for ; len(args) < 3*multiInsertRows && number < data.records && lines.Scan(); number++ {
				args = append(args, 1, number+1, lines.Text())
			}
			if len(args) == 3*multiInsertRows {
				_, err = full.ExecContext(ctx, args...)
			} else {
				_, err = connection.ExecContext(ctx, insertStatement(len(args)/3), args...)
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
}

func lineScanner(file io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 256<<10), 1<<20)
	return lines
}
