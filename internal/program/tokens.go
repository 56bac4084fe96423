package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
)

// TokenSetting is a setting with account tokens, separated by commas or newlines:
// NAME=TOKEN, or TOKEN for the default account.
type TokenSetting struct {
	Name, Value string
	IsFile      bool // Value is the name of a file with the tokens
	IsOne       bool // the entire value is the default account's token
}

// Tokens are the settings of one kind of token.
type Tokens struct {
	Settings []TokenSetting // empty ones are ignored
	Missing  string         // the error if there is no token
	// Check validates a token. Its error calls the token where.
	Check func(where, token string) error
	// One is set if an account may have only one token.
	One bool
}

// accountToken is a token of an account. Errors name its position, where, such as
// "WEBHOOK_TOKENS: token 2 of 3": any text there may be a secret.
type accountToken struct{ where, account, token string }

// Read returns the tokens of each account. Its error has a line for each problem, which
// names a token only by its position. Valid tokens are returned along with an error.
func (t Tokens) Read() (tokens map[string][]string, err error) {
	var all []accountToken
	var problems []error
	for _, setting := range t.Settings {
		read, err := setting.read()
		all, problems = append(all, read...), append(problems, err)
	}
	if err := errors.Join(problems...); len(all) == 0 && err == nil {
		return nil, errors.New(t.Missing)
	}
	tokens = map[string][]string{}
	accountOf, first := map[string]string{}, map[string]string{} // by token; by account, the position of its first token
	for _, each := range all {
		other, isFirst := accountOf[each.token], first[each.account] == ""
		if accountOf[each.token] = each.account; isFirst {
			first[each.account] = each.where
		}
		switch err := t.Check(each.where, each.token); {
		case other != "" && other != each.account:
			problems = append(problems, fmt.Errorf("%s is also another account's: want a different token for each account", each.where))
			delete(tokens, other)
		case t.One && !isFirst:
			problems = append(problems, fmt.Errorf("%s is for the same account as %s: want one token per account", each.where, first[each.account]))
			delete(tokens, each.account)
		case err != nil:
			problems = append(problems, err)
		default:
			tokens[each.account] = append(tokens[each.account], each.token)
		}
	}
	return tokens, errors.Join(problems...)
}

func (t TokenSetting) read() (tokens []accountToken, err error) {
	if t.Value == "" {
		return nil, nil
	}
	text := t.Value
	if t.IsFile {
		content, err := os.ReadFile(t.Value)
		// Without the file's name, which may be a secret put there by mistake.
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err
		}
		if err != nil {
			return nil, fmt.Errorf("%s: reading the file: %w", t.Name, err)
		}
		text = strings.TrimSpace(strings.TrimPrefix(string(content), "\ufeff"))
	}
	if t.IsOne && text != "" {
		return []accountToken{{t.Name, sink.DefaultAccount, text}}, nil
	}
	var entries []string
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	if t.IsFile && len(entries) == 0 {
		return nil, fmt.Errorf("%s has no token", t.Name)
	}
	var problems []error
	for i, entry := range entries {
		where := fmt.Sprintf("%s: token %d of %d", t.Name, i+1, len(entries))
		account, token := sink.DefaultAccount, entry
		name, rest, named := strings.Cut(entry, "=")
		if named = named && !isPadded(entry); named {
			account, token = name, rest
		}
		switch {
		case validate.Account("", account) != nil || !named && strings.Contains(entry, ":"): // acme:TOKEN
			problems = append(problems, fmt.Errorf("%s does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -", where))
		case strings.Trim(token, "=") == "":
			problems = append(problems, fmt.Errorf("%s is empty: want NAME=TOKEN", where))
		default:
			tokens = append(tokens, accountToken{where, account, token})
		}
	}
	return tokens, errors.Join(problems...)
}

// isPadded reports whether an entry is a base64 token that ends in padding, rather than an
// account name without a token.
func isPadded(entry string) bool {
	stem := strings.TrimRight(entry, "=")
	return !strings.Contains(stem, "=") && len(entry)%4 == 0 && validate.Account("", stem) != nil
}
