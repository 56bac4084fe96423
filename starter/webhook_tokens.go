package main

import (
	"log/slog"
	"sync"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
)

// webhookTokens are the settings of the webhook's tokens.
type webhookTokens struct {
	WebhookTokens     string `env:"WEBHOOK_TOKENS" placeholder:"TOKEN,ACCOUNT=TOKEN,…" help:"Secret tokens; a notification's URL must have one: /webhooks/webscraper?token=TOKEN for the default account, /webhooks/webscraper/ACCOUNT?token=TOKEN for another."`
	WebhookTokensFile string `env:"WEBHOOK_TOKENS_FILE" placeholder:"FILE" help:"File with such tokens, separated by commas or newlines, read at each notification."`
}

func (t *webhookTokens) read() (map[string][]string, error) {
	return program.Tokens{
		Settings: []program.TokenSetting{
			{Name: "WEBHOOK_TOKENS", Value: t.WebhookTokens},
			{Name: "WEBHOOK_TOKENS_FILE", Value: t.WebhookTokensFile, IsFile: true},
		},
		Missing: "WEBHOOK_TOKENS is missing: a long random secret, or several separated by commas; there is no default",
		Check:   validate.WebhookToken,
	}.Read()
}

// of reports problems to s and returns a function that reads the tokens of an account. If
// a later read fails, the previous tokens stay valid.
func (t *webhookTokens) of(s *program.Settings, logger *slog.Logger) func(account string) []string {
	valid, err := t.read()
	s.Check(err)
	var mu sync.Mutex
	logged := ""
	return func(account string) []string {
		mu.Lock()
		defer mu.Unlock()
		tokens, err := t.read()
		if err == nil {
			valid, logged = tokens, ""
		} else if logged != err.Error() {
			logged = err.Error()
			logger.Error("Reloading the webhook tokens failed; the previous ones stay valid", "error", err)
		}
		return valid[account]
	}
}
