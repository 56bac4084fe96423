// Package validate has the rules of options that the starter checks as settings too,
// under their own names.
package validate

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	// MinPassword is how many characters a password needs to have.
	MinPassword = 12
	// MinWebhookToken is how many characters a webhook's token needs to have.
	MinWebhookToken = 16
	// MinSignatureSecret is how many bytes the secret of signatures needs to have.
	MinSignatureSecret = 16
)

// webhookTokenCharacters are those that every sender leaves as they are in a URL's query.
const webhookTokenCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~=/"

// WebhookToken says what is wrong with a token, without repeating it, or returns nil.
func WebhookToken(token string) error {
	const use = "take a long and random one of letters, digits and - . _ ~ (openssl rand -hex 24)"
	if n := utf8.RuneCountInString(token); n < MinWebhookToken {
		return fmt.Errorf("is %d characters long, and needs %d: %s", n, MinWebhookToken, use)
	}
	if strings.Trim(token, webhookTokenCharacters) != "" {
		return fmt.Errorf("has a character that the query of a URL changes, such as + & # %% or a space: %s", use)
	}
	return nil
}

// User says what is wrong with a user's name, or returns nil.
func User(user string) error {
	switch {
	case user == "":
		return errors.New("User is missing")
	case strings.Contains(user, ":"):
		return errors.New("User has a colon, which HTTP Basic authentication has no place for")
	}
	return nil
}

// Password says what is wrong with a password, without repeating it, or
// returns nil.
func Password(password string) error {
	if n := utf8.RuneCountInString(password); n < MinPassword {
		return fmt.Errorf("Password is %d characters long: want at least %d", n, MinPassword)
	}
	return nil
}

// TemporalUIURL says what is wrong with the URL of a Temporal UI, or
// returns nil. An empty one is valid.
func TemporalUIURL(address string) error {
	if address == "" {
		return nil
	}
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "https" && parsed.Scheme != "http") || parsed.Host == "" ||
		parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return errors.New("TemporalUIURL is none: want one like https://temporal.example.com, without credentials, query and fragment")
	}
	return nil
}
