package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dustin/go-humanize/english"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

type migrateMappingCommand struct {
	program.DatabaseFlags
	File string `arg:"" help:"Mappings file, in YAML."`
}

// Help describes the command and what the workers need.
func (migrateMappingCommand) Help() string {
	return "Runs the SQL that worker check-mapping --database shows, in one transaction, and prints it. " +
		"From then on, workers with a different file publish nothing to the changed tables: give them this one. Then run starter backfill SITEMAP to fill new and changed columns."
}

// Run migrates the tables and prints the SQL.
func (c *migrateMappingCommand) Run(ctx context.Context, streams program.Streams) (err error) {
	var s program.Settings
	c.Validate(&s)
	if err := s.Err(); err != nil {
		return err
	}
	mappings, err := readMappings(c.File)
	if err != nil {
		return err
	}
	db, _, err := c.Open(ctx, 2, streams.Logger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	changes, err := postgres.MigrateMappedTables(ctx, db, mappings, false)
	if err != nil {
		return fmt.Errorf("no table was changed: %w", err)
	}
	if printChanges(streams.Out, mappings, changes) > 0 {
		fmt.Fprintf(streams.Out, "\nmigrated: give all workers %s (MAPPINGS), then run the backfills\n", c.File)
	}
	return nil
}

// compare prints the changes that the file needs, and fails if there are any.
func (c *checkMappingCommand) compare(ctx context.Context, out io.Writer, mappings *mapping.Mappings) (err error) {
	db, err := c.Connect(2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := postgres.CheckSchema(ctx, db); err != nil {
		return fmt.Errorf("the database of DATABASE_URL: %w", err)
	}
	changes, err := postgres.MigrateMappedTables(ctx, db, mappings, true)
	if err != nil {
		return err
	}
	if differ := printChanges(out, mappings, changes); differ > 0 {
		return fmt.Errorf("%s from the file: worker migrate-mapping %s runs this SQL", english.Plural(differ, "table differs", "tables differ"), c.File)
	}
	return nil
}

// printChanges prints the changes and returns how many tables have any.
func printChanges(out io.Writer, mappings *mapping.Mappings, changes []postgres.MappedTableChange) (changed int) {
	for _, change := range changes {
		if len(change.SQL)+len(change.Differences) == 0 {
			fmt.Fprintf(out, "\ntable %s matches the file\n", visible(change.Table.String()))
			continue
		}
		changed++
		fmt.Fprintf(out, "\ntable %s\n", visible(change.Table.String()))
		for _, differs := range change.Differences {
			fmt.Fprintf(out, "  %s\n", visible(differs))
		}
		for _, statement := range change.SQL {
			fmt.Fprintf(out, "%s\n", statement)
		}
		of := mappings.All()[slices.IndexFunc(mappings.All(), func(m *mapping.Mapping) bool { return m.Table == change.Table })]
		account := ""
		if sink.IsNamed(of.Account) {
			account = " --account " + of.Account
		}
		fmt.Fprintf(out, program.Commands("-- then: starter backfill %q%s\n"), cmp.Or(of.Sitemap, of.SitemapPrefix), account)
	}
	return changed
}
