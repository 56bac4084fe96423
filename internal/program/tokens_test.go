package program_test

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// file writes a file of tokens and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestTokensAreReadByAccount(t *testing.T) {
	for text, want := range map[string]map[string][]string{
		"aaaa":                              {"default": {"aaaa"}},
		"acme=aaaa, globex=bbbb":            {"acme": {"aaaa"}, "globex": {"bbbb"}},
		"acme=aaaa\r\n\r\nglobex=bbbb\r\n,": {"acme": {"aaaa"}, "globex": {"bbbb"}},
		"aaaa,acme=bbbb,acme=cccc,dddd":     {"default": {"aaaa", "dddd"}, "acme": {"bbbb", "cccc"}},
		"default=aaaa":                      {"default": {"aaaa"}},
		"0-9=a=b=":                          {"0-9": {"a=b="}},
		"acme=aaaa,acme=aaaa":               {"acme": {"aaaa", "aaaa"}},
		// The output of openssl rand -base64 is a token, not an account without one.
		"MEU4cXpSMlZ0WQ==,c2VjcmV0IG9mIGEgd2ViaG9vaw==": {"default": {"MEU4cXpSMlZ0WQ==", "c2VjcmV0IG9mIGEgd2ViaG9vaw=="}},
		"acme=c2VjcmV0IG9mIGEgd2ViaG9vaw==":             {"acme": {"c2VjcmV0IG9mIGEgd2ViaG9vaw=="}},
	} {
		got, err := program.Tokens{
			Settings: []program.TokenSetting{{Name: "TOKENS", Value: text}}, Check: func(string, string) error { return nil },
		}.Read()
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

// Some editors add an invisible byte order mark to a file.
func TestByteOrderMarkIsNotPartOfAToken(t *testing.T) {
	read := func(settings ...program.TokenSetting) (map[string][]string, error) {
		return program.Tokens{Settings: settings, Check: func(string, string) error { return nil }}.Read()
	}
	tokens, err := read(
		program.TokenSetting{Name: "ONE", Value: file(t, "\ufeffaaaa\r\n"), IsOne: true, IsFile: true},
		program.TokenSetting{Name: "SEVERAL", Value: file(t, "\ufeffacme=bbbb\r\n"), IsFile: true})
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"default": {"aaaa"}, "acme": {"bbbb"}}, tokens)
	_, err = read(program.TokenSetting{Name: "ONE", Value: file(t, "\ufeff\n"), IsOne: true, IsFile: true})
	require.ErrorContains(t, err, "ONE has no token")
}

func TestInvalidTokensAreNamedOnlyByPosition(t *testing.T) {
	const secret, other = "s3cr3ts3cr3tlongone", "another-s3cr3t"
	for _, c := range []struct {
		flags program.CloudFlags
		want  []string
	}{
		{program.CloudFlags{}, []string{"WEBSCRAPER_API_TOKEN is missing: the token on the API page of Web Scraper Cloud; WEBSCRAPER_API_TOKENS for several accounts"}},
		{program.CloudFlags{APIToken: secret + "\n"}, []string{"WEBSCRAPER_API_TOKEN: webscraper: the API token contains white space or a control character (a trailing newline?)"}},
		{program.CloudFlags{APITokens: " ,\n"}, []string{"WEBSCRAPER_API_TOKEN is missing: the token on the API page of Web Scraper Cloud; WEBSCRAPER_API_TOKENS for several accounts"}},
		{program.CloudFlags{APITokens: "acme="}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 1 is empty: want NAME=TOKEN"}},
		{program.CloudFlags{APITokens: secret + "="}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 1 is empty: want NAME=TOKEN"}},
		{program.CloudFlags{APITokens: "acme==," + secret + "=="}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 2 is empty: want NAME=TOKEN", "WEBSCRAPER_API_TOKENS: token 2 of 2 is empty: want NAME=TOKEN"}},
		{program.CloudFlags{APITokens: "=" + secret}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 1 does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -"}},
		{program.CloudFlags{APITokens: "Acme=" + secret + ",a_b=" + other}, []string{
			"WEBSCRAPER_API_TOKENS: token 1 of 2 does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -",
			"WEBSCRAPER_API_TOKENS: token 2 of 2 does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -"}},
		{program.CloudFlags{APITokens: "acme:" + secret}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 1 does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -"}},
		{program.CloudFlags{APITokens: strings.Repeat("a", 41) + "=" + secret}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 1 does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -"}},
		{program.CloudFlags{APITokens: "acme=" + secret + ",acme=" + other}, []string{"WEBSCRAPER_API_TOKENS: token 2 of 2 is for the same account as WEBSCRAPER_API_TOKENS: token 1 of 2: want one token per account"}},
		{program.CloudFlags{APITokens: "acme=" + secret + ",globex=" + secret}, []string{"WEBSCRAPER_API_TOKENS: token 2 of 2 is also another account's: want a different token for each account"}},
		{program.CloudFlags{APIToken: secret, APITokens: "acme=" + secret}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 1 is also another account's: want a different token for each account"}},
		{program.CloudFlags{APIToken: secret, APITokenFile: file(t, other)}, []string{"WEBSCRAPER_API_TOKEN_FILE is for the same account as WEBSCRAPER_API_TOKEN: want one token per account"}},
		{program.CloudFlags{APIToken: secret, APITokensFile: file(t, "default="+other)}, []string{"WEBSCRAPER_API_TOKENS_FILE: token 1 of 1 is for the same account as WEBSCRAPER_API_TOKEN: want one token per account"}},
		{program.CloudFlags{APITokens: "acme=" + secret + " " + secret}, []string{"WEBSCRAPER_API_TOKENS: token 1 of 1: webscraper: the API token contains white space or a control character (a trailing newline?)"}},
		{program.CloudFlags{APITokenFile: file(t, "\n")}, []string{"WEBSCRAPER_API_TOKEN_FILE has no token"}},
		{program.CloudFlags{APITokensFile: file(t, "")}, []string{"WEBSCRAPER_API_TOKENS_FILE has no token"}},
		// The token itself, in place of a file name.
		{program.CloudFlags{APITokenFile: secret}, []string{"WEBSCRAPER_API_TOKEN_FILE: reading the file: no such file or directory"}},
		{program.CloudFlags{APITokensFile: "acme=" + secret + "/\x00"}, []string{"WEBSCRAPER_API_TOKENS_FILE: reading the file: invalid argument"}},
		// All together.
		{program.CloudFlags{APIToken: " ", APITokensFile: secret, APITokens: "Acme=" + secret + ",acme=" + other + ",acme=" + secret, APIBaseURI: "ftp://api.example"}, []string{
			"WEBSCRAPER_API_TOKENS: token 1 of 3 does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -",
			"WEBSCRAPER_API_TOKENS_FILE: reading the file: no such file or directory",
			"WEBSCRAPER_API_TOKEN: webscraper: the API token contains white space or a control character (a trailing newline?)",
			"WEBSCRAPER_API_TOKENS: token 3 of 3 is for the same account as WEBSCRAPER_API_TOKENS: token 2 of 3: want one token per account",
			`WEBSCRAPER_API_BASE_URI: webscraper: the base URI "ftp://api.example" does not start with https:// or http://; it must look like "https://api.webscraper.io/api/v1/"`,
		}},
	} {
		if c.flags.APIBaseURI == "" {
			c.flags.APIBaseURI = webscraper.DefaultBaseURI
		}
		var s program.Settings
		c.flags.Clients(&s, slog.New(slog.DiscardHandler))
		var wrong *program.SettingsError
		require.ErrorAs(t, s.Err(), &wrong)
		require.Equal(t, c.want, wrong.Problems)
	}
}

func FuzzNoTokenIsInTheError(f *testing.F) {
	for _, text := range []string{"acme=zqxjzqxjzqxj", "zqxjzqxjzqxj=", "A=zqxjzqxjzqxj,A=zqxjzqxjzqxj", "zqxjzqxjzqxj==x", "a=zqxjzqxjzqxj,b=zqxjzqxjzqxj", "\x00zqxjzqxjzqxj"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text+"zqxj", "zqxj", "zqxjzqxjzqxj") // in none of our own texts
		for _, flags := range []program.CloudFlags{{APITokens: text}, {APIToken: text}, {APITokensFile: text}, {APIToken: text, APITokens: text}} {
			flags.APIBaseURI = webscraper.DefaultBaseURI
			var s program.Settings
			flags.Clients(&s, slog.New(slog.DiscardHandler))
			if err := s.Err(); err != nil {
				require.NotContains(t, err.Error(), "zqxj")
			}
		}
	})
}

// The file changes as a mounted secret does: by a rename.
func TestEachCallReadsTheTokenFile(t *testing.T) {
	var got string
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.Query().Get("api_token")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"success":true,"data":{}}`))
	}))
	defer cloud.Close()
	name, one := file(t, "globex=bbbb\nacme=aaaa\n"), file(t, "dddd\n")
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(name+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(name+".new", name))
	}
	var s program.Settings
	flags := program.CloudFlags{APITokenFile: one, APITokensFile: name, APIBaseURI: cloud.URL}
	clients := flags.Clients(&s, slog.New(slog.DiscardHandler))
	require.NoError(t, s.Err())
	require.Equal(t, []string{"acme", "default", "globex"}, slices.Sorted(maps.Keys(clients)))

	call := func(account, want string) {
		t.Helper()
		_, err := clients[account].Account(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	refused := func(account, want string) {
		t.Helper()
		got = "no call"
		_, err := clients[account].Account(t.Context())
		require.EqualError(t, err, "webscraper: get account: 401 Unauthorized: not sent: "+want)
		require.True(t, webscraper.IsUnauthorized(err))
		require.Equal(t, "no call", got)
	}
	call("acme", "aaaa")
	call("default", "dddd")
	write(name, "globex=bbbb,acme=aaaa2")
	write(one, "dddd2")
	call("acme", "aaaa2")
	call("globex", "bbbb")
	call("default", "dddd2")
	write(name, "globex=bbbb,initech=eeee")
	refused("acme", `there is no API token for account "acme" in WEBSCRAPER_API_TOKENS_FILE`)
	call("globex", "bbbb")
	// A problem with one account's token does not affect the others.
	write(name, "acme=,globex=bbbb2,in_itech=eeee")
	call("globex", "bbbb2")
	call("default", "dddd2")
	refused("acme", "WEBSCRAPER_API_TOKENS_FILE: token 1 of 3 is empty: want NAME=TOKEN "+
		"WEBSCRAPER_API_TOKENS_FILE: token 3 of 3 does not start with an account name: want NAME=TOKEN, where NAME is 1 to 40 of a-z, 0-9 and -")
	write(name, "acme=bbbb,globex=bbbb")
	for _, account := range []string{"acme", "globex"} { // its owner is unknown
		refused(account, "WEBSCRAPER_API_TOKENS_FILE: token 2 of 2 is also another account's: want a different token for each account")
	}
	require.NoError(t, os.Remove(name))
	refused("acme", "WEBSCRAPER_API_TOKENS_FILE: reading the file: no such file or directory")
	call("default", "dddd2")
	write(name, "globex=bbbb,acme=aaaa")
	call("acme", "aaaa")
}
