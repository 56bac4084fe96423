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

// TokenSetting is a setting with tokens of accounts: NAME=TOKEN or TOKEN, which is the
// default account's, with commas or line ends between them.
type TokenSetting struct {
	Name, Value string
	IsFile      bool // Value is the name of a file with them
	IsOne       bool // it is the default account's token as it is
}

// Tokens are the settings of one kind of tokens.
type Tokens struct {
	Settings []TokenSetting // one that is empty counts as not given
	Missing  string         // says that there is no token at all
	// Check says what is wrong with a token.
	Check func(where, token string) error
	// One is set if an account has one token only.
	One bool
}

// accountToken is a token of an account. Errors call it where, such as
// "WEBHOOK_TOKENS: token 2 of 3": what stands there may be a secret, whatever it was
// meant to be.
type accountToken struct{ where, account, token string }

// Read returns the tokens of each account. The error has a line for everything that is
// wrong, which says of a token where it is and nothing more. Those of which all is well
// are there all the same.
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
	accountOf, first := map[string]string{}, map[string]string{} // of a token; where an account's is
	for _, each := range all {
		other, isFirst := accountOf[each.token], first[each.account] == ""
		if accountOf[each.token] = each.account; isFirst {
			first[each.account] = each.where
		}
		switch err := t.Check(each.where, each.token); {
		case other != "" && other != each.account:
			problems = append(problems, fmt.Errorf("%s is another account's too: want one of its own for each account", each.where))
			delete(tokens, other)
		case t.One && !isFirst:
			problems = append(problems, fmt.Errorf("%s is of the same account as %s: want one for each account", each.where, first[each.account]))
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
		// Without the file's name, for which somebody may have taken the secret.
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
			problems = append(problems, fmt.Errorf("%s does not begin with the name of an account: want NAME=TOKEN, in NAME 1 to 40 of a-z, 0-9 and -", where))
		case strings.Trim(token, "=") == "":
			problems = append(problems, fmt.Errorf("%s is empty: want NAME=TOKEN", where))
		default:
			tokens = append(tokens, accountToken{where, account, token})
		}
	}
	return tokens, errors.Join(problems...)
}

// isPadded reports whether an entry is a token in base64, with the = at its end, and no
// account's name without its token.
func isPadded(entry string) bool {
	stem := strings.TrimRight(entry, "=")
	return !strings.Contains(stem, "=") && len(entry)%4 == 0 && validate.Account("", stem) != nil
}
