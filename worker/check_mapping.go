package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

type checkMappingCommand struct {
	program.DatabaseFlags
	File     string `arg:"" help:"Mappings file, in YAML."`
	Sample   string `arg:"" optional:"" help:"Download to convert: JSON Lines, or CSV if its name ends in .csv. - reads JSON Lines from standard input."`
	Sitemap  string `placeholder:"NAME" help:"The sample's sitemap, if the file has several mappings: acme:books for books of account acme."`
	Rows     string `default:"10" placeholder:"N" help:"Rows to show. Default: ${default}."`
	Database bool   `help:"Compare the file with the tables in the database, and show the SQL that worker migrate-mapping would run."`
}

// Help describes the settings and the exit status.
func (checkMappingCommand) Help() string {
	return "Without --database it needs no settings. Exit status 1: the file has problems, records of the sample would have no row, or tables differ from the file."
}

// Run checks the file, and shows the rows that the sample would become.
func (c *checkMappingCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	rows := s.Int("--rows", c.Rows, 0, 10_000)
	if c.Database {
		c.Validate(&s)
	}
	if err := s.Err(); err != nil {
		return err
	}
	mappings, err := readMappings(c.File)
	if err != nil {
		return err
	}
	m := c.choose(&s, mappings)
	if err := s.Err(); err != nil {
		return err
	}
	if c.Sample != "" {
		err = c.convert(ctx, streams.Out, m, rows)
	} else {
		for _, each := range mappings.All() {
			if m == nil || each == m {
				fmt.Fprintln(streams.Out, describeMapping(each))
			}
		}
	}
	if c.Database {
		err = errors.Join(err, c.compare(ctx, streams.Out, mappings))
	} else if c.Sample == "" {
		fmt.Fprintln(streams.Out, "ok")
	}
	return err
}

func readMappings(file string) (*mapping.Mappings, error) {
	mappings, err := mapping.ReadFile(file)
	if _, unread := errors.AsType[*fs.PathError](err); err != nil && !unread {
		err = fmt.Errorf("fix the mappings first:\n%w", err)
	}
	return mappings, err
}

// choose returns the chosen mapping, nil if none is needed.
func (c *checkMappingCommand) choose(s *program.Settings, mappings *mapping.Mappings) *mapping.Mapping {
	var names []string
	for _, each := range mappings.All() {
		names = append(names, each.Sitemaps())
	}
	switch {
	case len(names) == 0 && c.Sitemap+c.Sample != "":
		s.Problem("%s has no mappings: leave out the sample and --sitemap, or add a mapping", c.File)
		return nil
	case c.Sitemap != "":
		account, name, named := strings.Cut(c.Sitemap, ":")
		if !named {
			account, name = sink.DefaultAccount, c.Sitemap
		}
		m := mappings.For(account, name)
		if m == nil {
			s.Problem("--sitemap is %q, which no mapping covers: want one of %s", c.Sitemap, strings.Join(names, ", "))
		}
		return m
	case c.Sample == "":
		return nil
	case len(names) > 1:
		s.Problem("--sitemap is missing: %s has %d mappings, want the sample's sitemap, one of %s", c.File, len(names), strings.Join(names, ", "))
		return nil
	}
	return mappings.All()[0]
}

// convert converts the entire sample. It fails if a record would have no row.
func (c *checkMappingCommand) convert(ctx context.Context, out io.Writer, m *mapping.Mapping, rows int) error {
	sample, format := io.Reader(os.Stdin), activities.FormatJSON
	if c.Sample != "-" {
		file, err := os.Open(c.Sample)
		if err != nil {
			return fmt.Errorf("reading the sample: %w", err)
		}
		defer file.Close()
		sample = file
		if strings.EqualFold(filepath.Ext(c.Sample), ".csv") {
			format = activities.FormatCSV
		}
	}
	trial := newMappingTrial(m, rows)
	for record, err := range activities.ReadRecords(sample, format, 0) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("reading the sample: %w", err)
		}
		trial.add(record)
	}
	if err := trial.print(out); err != nil {
		return err
	}
	if trial.rejected > 0 {
		return fmt.Errorf("%s of %s would have no row", humanize.Comma(int64(trial.rejected)), english.Plural(trial.records(), "record", ""))
	}
	return nil
}

// rowsOnly says what is unavailable without records.
const rowsOnly = "rows only: without records there are no views and no starter diff, and old jobs can be remapped only from the cloud or the archive"

// describeMapping describes a mapping in one line.
func describeMapping(m *mapping.Mapping) string {
	text := fmt.Sprintf("%s -> %s: %s, %s", m.Sitemaps(), m.Table, m.Mode, english.Plural(len(m.Columns), "column", ""))
	if len(m.Key) > 0 {
		text += ", key " + strings.Join(m.Key, ", ")
	}
	if d := m.DeactivateMissing; d != nil {
		text += fmt.Sprintf("; missing rows get %s = false, up to %d %% of the active ones", d.Column, d.BrakePercent)
	}
	if m.RowsOnly {
		text += "; " + rowsOnly
	}
	return visible(text)
}
