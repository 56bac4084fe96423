// Package validate has the rules of options that the starter checks as settings too.
// Each says what is wrong with the value of that name, or returns nil; a secret is not
// repeated.
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
	// Those of Standard Webhooks.
	publishedSecretPrefix                  = "whsec_"
	minPublishedSecret, maxPublishedSecret = 24, 64 // bytes
	// MinWebhookToken is how many characters a webhook's token needs to have.
	MinWebhookToken = 16
)

// webhookTokenCharacters are those that every sender leaves as they are in a URL's query.
const webhookTokenCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~=/"

// WebhookToken is about one token of the webhook.
func WebhookToken(name, token string) error {
	const use = "take a long and random one of letters, digits and - . _ ~ (openssl rand -hex 24)"
	if n := utf8.RuneCountInString(token); n < MinWebhookToken {
		return fmt.Errorf("%s is %d characters long, and needs %d: %s", name, n, MinWebhookToken, use)
	}
	if strings.Trim(token, webhookTokenCharacters) != "" {
		return fmt.Errorf("%s has a character that the query of a URL changes, such as + & # %% or a space: %s", name, use)
	}
	return nil
}

// SignatureSecret is about the secret of the webhook's signatures.
func SignatureSecret(name, secret string) error {
	if n := len(secret); n > 0 && n < minSignatureSecret {
		return fmt.Errorf("%s is %d bytes long: want at least %d, or none to go without signatures", name, n, minSignatureSecret)
	}
	return nil
}

// User is about the status page's user.
func User(name, user string) error {
	switch {
	case user == "":
		return fmt.Errorf("%s is missing: the status page needs a user and a password", name)
	case strings.Contains(user, ":"):
		return fmt.Errorf("%s has a colon: HTTP Basic authentication has no place for one", name)
	}
	return nil
}

// Password is about the status page's password.
func Password(name, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n == 0:
		return fmt.Errorf("%s is missing: the status page needs a user and a password", name)
	case n < minPassword:
		return fmt.Errorf("%s is %d characters long: want at least %d", name, n, minPassword)
	}
	return nil
}

// TemporalUIURL is about the URL of a Temporal UI. An empty one is valid.
func TemporalUIURL(name, address string) error {
	if address == "" {
		return nil
	}
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "https" && parsed.Scheme != "http") || parsed.Host == "" ||
		parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return fmt.Errorf("%s is not the URL of a Temporal UI: want one like https://temporal.example.com, without credentials, query and fragment", name)
	}
	return nil
}

// PublishedWebhookURL checks the webhook's URL. The error has no part of it: it may contain
// a secret.
func PublishedWebhookURL(name, address string) error {
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "https" && parsed.Scheme != "http") || parsed.Hostname() == "" {
		return fmt.Errorf("%s is not a webhook's URL: want one like https://example.com/published", name)
	}
	return nil
}

// PublishedWebhookSecret checks the secret that signs publications.
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

// Account is about the name of an account of Web Scraper Cloud.
func Account(name, account string) error {
	if !accountName.MatchString(account) {
		return fmt.Errorf("%s names the account %.60q: want 1 to 40 of a-z, 0-9 and -", name, account)
	}
	return nil
}
