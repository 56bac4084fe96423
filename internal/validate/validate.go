// Package validate has the validation rules shared by package options and program settings.
// Each function returns an error that names the option, or nil. Errors never contain
// secrets.
package validate

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	minPassword        = 12 // characters
	minSignatureSecret = 16 // bytes
	// Limits of Standard Webhooks.
	publishedSecretPrefix                  = "whsec_"
	minPublishedSecret, maxPublishedSecret = 24, 64 // bytes
	// MinWebhookToken is the minimum length of a webhook token, in characters.
	MinWebhookToken = 16
)

// webhookTokenCharacters are the characters that every sender leaves unchanged in a URL's
// query.
const webhookTokenCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~=/"

// WebhookToken validates a webhook token.
func WebhookToken(name, token string) error {
	const use = "use a long random one of letters, digits and - . _ ~ (openssl rand -hex 24)"
	if n := utf8.RuneCountInString(token); n < MinWebhookToken {
		return fmt.Errorf("%s is %d characters long, but needs %d: %s", name, n, MinWebhookToken, use)
	}
	if strings.Trim(token, webhookTokenCharacters) != "" {
		return fmt.Errorf("%s has a character that is special in a URL's query, such as + & # %% or a space: %s", name, use)
	}
	return nil
}

// SignatureSecret validates the secret of webhook signatures. An empty one is valid.
func SignatureSecret(name, secret string) error {
	if n := len(secret); n > 0 && n < minSignatureSecret {
		return fmt.Errorf("%s is %d bytes long: want at least %d, or none to go without signatures", name, n, minSignatureSecret)
	}
	return nil
}

// User validates the status page's user.
func User(name, user string) error {
	switch {
	case user == "":
		return fmt.Errorf("%s is missing: the status page needs a user and a password", name)
	case strings.Contains(user, ":"):
		return fmt.Errorf("%s has a colon: HTTP Basic authentication does not allow one", name)
	}
	return nil
}

// Password validates the status page's password.
func Password(name, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n == 0:
		return fmt.Errorf("%s is missing: the status page needs a user and a password", name)
	case n < minPassword:
		return fmt.Errorf("%s is %d characters long: want at least %d", name, n, minPassword)
	}
	return nil
}

// TemporalUIURL validates the URL of a Temporal UI. An empty one is valid.
func TemporalUIURL(name, address string) error {
	if address == "" {
		return nil
	}
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "https" && parsed.Scheme != "http") || parsed.Host == "" ||
		parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return fmt.Errorf("%s is not the URL of a Temporal UI: want one like https://temporal.example.com, without credentials, query or fragment", name)
	}
	return nil
}

// PublishedWebhookURL validates the webhook's URL. The error does not contain it: it may
// have a secret.
func PublishedWebhookURL(name, address string) error {
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "https" && parsed.Scheme != "http") || parsed.Hostname() == "" {
		return fmt.Errorf("%s is not a webhook's URL: want one like https://example.com/published", name)
	}
	return nil
}

// PublishedWebhookSecret validates the secret that signs deliveries.
func PublishedWebhookSecret(name, secret string) error {
	text, prefixed := strings.CutPrefix(secret, publishedSecretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if n := len(key); !prefixed || err != nil || n < minPublishedSecret || n > maxPublishedSecret {
		return fmt.Errorf("%s is not a Standard Webhooks secret: want %s and %d to %d bytes in base64 (echo %s$(openssl rand -base64 32))",
			name, publishedSecretPrefix, minPublishedSecret, maxPublishedSecret, publishedSecretPrefix)
	}
	return nil
}

var accountName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// Account validates an account name.
func Account(name, account string) error {
	if !accountName.MatchString(account) {
		return fmt.Errorf("%s names the account %.60q: want 1 to 40 of a-z, 0-9 and -", name, account)
	}
	return nil
}
