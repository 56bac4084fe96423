package systemtest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// Accounts are additional accounts of a system's cloud.
type Accounts struct {
	// Of has the system as each account sees it: with its own cloud and webhook.
	Of map[string]*System

	system *System
	tokens map[string]string
	file   string // the tokens, as read by processes
}

// AddAccounts adds accounts, whose cloud options change may set, and starts a starter with
// them. All processes started later have them, too.
func (s *System) AddAccounts(change func(name string, o *webscrapertest.Options), names ...string) *Accounts {
	s.T.Helper()
	folder := s.T.TempDir()
	a := &Accounts{Of: map[string]*System{}, system: s, tokens: map[string]string{}, file: filepath.Join(folder, "api-tokens")}
	webhooks := map[string]string{}
	for _, name := range names {
		a.tokens[name], webhooks[name] = "api-token-of-"+name+"-zx83", "webhook-token-of-"+name+"-zx84"
		s.Secrets = append(s.Secrets, a.tokens[name], webhooks[name])
	}
	a.write(a.file, a.tokens)
	a.write(filepath.Join(folder, "webhook-tokens"), webhooks)
	s.Env = s.Env.With("WEBSCRAPER_API_TOKENS_FILE", a.file).With("WEBHOOK_TOKENS_FILE", filepath.Join(folder, "webhook-tokens"))
	s.Webhook = s.StartStarter(s.Env)
	for _, name := range names {
		options := webscrapertest.Options{
			Tokens: []string{a.tokens[name]}, WebhookURL: strings.Replace(s.Webhook, "?token="+WebhookToken, "/"+name+"?token="+webhooks[name], 1),
		}
		change(name, &options)
		of := &System{
			T: s.T, Programs: s.Programs, Env: s.Env, Cloud: s.Cloud.AddAccount(options), Temporal: s.Temporal, DB: s.DB, Spool: s.Spool, Log: s.Log,
		}
		of.Env.APIToken = a.tokens[name]
		a.Of[name] = of
	}
	return a
}

// Token returns the account's current API token.
func (a *Accounts) Token(name string) string { return a.tokens[name] }

// Rotate replaces the account's token, in its cloud and for running processes.
func (a *Accounts) Rotate(name string) {
	a.system.T.Helper()
	a.tokens[name] += "x"
	a.system.Secrets = append(a.system.Secrets, a.tokens[name])
	a.Of[name].Cloud.SetTokens(a.tokens[name])
	a.write(a.file, a.tokens)
}

// Without writes a file of tokens without the account's.
func (a *Accounts) Without(name string) (file string) {
	tokens := maps.Clone(a.tokens)
	delete(tokens, name)
	file = filepath.Join(a.system.T.TempDir(), "api-tokens")
	a.write(file, tokens)
	return file
}

// write replaces the file atomically.
func (a *Accounts) write(file string, tokens map[string]string) {
	a.system.T.Helper()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		text.WriteString(name + "=" + tokens[name] + "\n")
	}
	require.NoError(a.system.T, os.WriteFile(file+".new", []byte(text.String()), 0o600))
	require.NoError(a.system.T, os.Rename(file+".new", file))
}
