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

// AccountToken is a token of an account. Errors call it Where, such as
// "WEBHOOK_TOKENS: token 2 of 3": what stands there may be a secret, whatever it was
// meant to be.
type AccountToken struct {
	Where, Account, Token string
}

// ReadTokens reads those of the settings that are not empty. The error has a line for
// everything that is wrong, which says of a token where it is and nothing more. The tokens
// are those whose form is right.
func ReadTokens(settings ...TokenSetting) (tokens []AccountToken, err error) {
	var problems []error
	for _, setting := range settings {
		if setting.Value == "" {
			continue
		}
		read, err := setting.read()
		tokens, problems = append(tokens, read...), append(problems, err)
	}
	accountOf := map[string]string{}
	for _, each := range tokens {
		if other, taken := accountOf[each.Token]; taken && other != each.Account {
			problems = append(problems, fmt.Errorf("%s is another account's too: want one of its own for each account", each.Where))
		}
		accountOf[each.Token] = each.Account
	}
	return tokens, errors.Join(problems...)
}

func (t TokenSetting) read() (tokens []AccountToken, err error) {
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
		text = strings.TrimSpace(string(content))
	}
	if t.IsOne && text != "" {
		return []AccountToken{{t.Name, sink.DefaultAccount, text}}, nil
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
		if name, rest, named := strings.Cut(entry, "="); named && !isPadded(entry) {
			account, token = name, rest
		}
		switch {
		case validate.Account("", account) != nil:
			problems = append(problems, fmt.Errorf("%s does not begin with the name of an account: want NAME=TOKEN, in NAME 1 to 40 of a-z, 0-9 and -", where))
		case strings.Trim(token, "=") == "":
			problems = append(problems, fmt.Errorf("%s is empty: want NAME=TOKEN", where))
		default:
			tokens = append(tokens, AccountToken{where, account, token})
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
