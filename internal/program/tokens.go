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

// AccountToken is a token of an account. Errors call it Where, such as
// "WEBHOOK_TOKENS: token 2 of 3": what stands there may be a secret, whatever it was
// meant to be.
type AccountToken struct {
	Where, Account, Token string
}

// ParseTokens reads NAME=TOKEN or TOKEN, which is the default account's, with commas or
// line ends between them. The error has a line for each entry that is wrong; tokens are
// those whose form is right.
func ParseTokens(setting, text string) (tokens []AccountToken, err error) {
	var entries []string
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	var problems []error
	accountOf := map[string]string{}
	for i, entry := range entries {
		where := fmt.Sprintf("%s: token %d of %d", setting, i+1, len(entries))
		account, token := sink.DefaultAccount, entry
		if name, rest, named := strings.Cut(entry, "="); named && !isPadded(entry) {
			account, token = name, rest
		}
		if validate.Account("", account) != nil {
			problems = append(problems, fmt.Errorf("%s does not begin with the name of an account: want NAME=TOKEN, in NAME 1 to 40 of a-z, 0-9 and -", where))
			continue
		}
		if strings.Trim(token, "=") == "" {
			problems = append(problems, fmt.Errorf("%s is empty: want NAME=TOKEN", where))
			continue
		}
		if other, taken := accountOf[token]; taken && other != account {
			problems = append(problems, fmt.Errorf("%s is another account's too: want one of its own for each account", where))
		}
		accountOf[token] = account
		tokens = append(tokens, AccountToken{where, account, token})
	}
	if len(entries) == 0 {
		problems = append(problems, fmt.Errorf("%s has no token", setting))
	}
	return tokens, errors.Join(problems...)
}

// isPadded reports whether an entry is a token in base64, with the = at its end, and no
// account's name without its token.
func isPadded(entry string) bool {
	stem := strings.TrimRight(entry, "=")
	return !strings.Contains(stem, "=") && len(entry)%4 == 0 && validate.Account("", stem) != nil
}

// readFile is the text of a setting's file, without the spaces and line ends around it. The
// error is without the file's name, for which somebody may have taken the secret.
func readFile(setting, name string) (string, error) {
	content, err := os.ReadFile(name)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	if err != nil {
		return "", fmt.Errorf("%s: reading the file: %w", setting, err)
	}
	return strings.TrimSpace(string(content)), nil
}
