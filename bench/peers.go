package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildPeers builds the program of bench/peers, which is a module of its own.
func (p *importPart) buildPeers(ctx context.Context) {
	p.peers = filepath.Join(p.dir, "peers")
	root, err := runCommandOutput(exec.CommandContext(ctx, "go", "env", "GOMOD"))
	if err == nil {
		module := filepath.Join(filepath.Dir(strings.TrimSpace(string(root))), "bench", "peers")
		_, err = runCommandOutput(exec.CommandContext(ctx, "go", "build", "-C", module, "-o", p.peers))
	}
	if err != nil {
		p.peersMissing = fmt.Sprintf("bench/peers cannot be built: %v", err)
	}
}

// pgxCopy is a bare pgx that copies the download in binary, in one stream.
func (p *importPart) pgxCopy(data *dataset) contender {
	return contender{
		name: "pgx_copy", title: "pgx.CopyFrom in binary, one stream", missing: p.peersMissing,
		prepare: func(ctx context.Context) error { return emptyTables(ctx, p.db) },
		run: timed(func(ctx context.Context) error {
			peer := exec.CommandContext(ctx, p.peers, filepath.Join(data.dir, spoolFile))
			peer.Env = []string{"DATABASE_URL=" + p.databaseURL}
			_, err := runCommandOutput(peer)
			return err
		}),
	}
}

// loadCSV are pgloader's commands for a file of rows without a header; an empty field is null.
const loadCSV = `LOAD CSV FROM '%s' INTO %s?tablename=%s
WITH fields optionally enclosed by '"', fields escaped by double-quote, fields terminated by ','
SET client_encoding TO 'utf8';
`

// pgloader is a contender that loads the file of clean rows into a table, by its name alone, with
// pgloader's own settings. It prepares nothing.
func (p *importPart) pgloader(csv, table string) contender {
	c := contender{name: "pgloader", title: "pgloader, CSV into the table with its key", run: timed(func(ctx context.Context) error {
		target, err := url.Parse(p.databaseURL)
		if err != nil {
			return errors.New("the database's URL cannot be read")
		}
		target.Scheme, target.RawQuery = "postgresql", ""
		commands := filepath.Join(p.dir, "pgloader.load")
		if err := os.WriteFile(commands, fmt.Appendf(nil, loadCSV, csv, target, table), 0o600); err != nil {
			return err
		}
		loading := exec.CommandContext(ctx, "pgloader", "--quiet", "--on-error-stop", "--root-dir", p.dir, commands)
		_, err = runCommandOutput(loading)
		return err
	})}
	if _, err := exec.LookPath("pgloader"); err != nil {
		c.missing = "it is not installed"
	}
	return c
}
