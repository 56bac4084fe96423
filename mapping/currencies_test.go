package mapping_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

var cldr = flag.String("cldr", "", "npm `directory` with cldr-core and cldr-numbers-full, whose currencies are added to currencies.txt")

// notCurrencies are words in CLDR that also mean something else next to a number: thousands,
// millions, billions, sizes, pages, cubic feet, denier.
var notCurrencies = strings.Fields("K M B T G S L P D E B$ T$ G$ M$ K$ $T CF den ر")

// TestCurrencies checks the list of currencies, and adds those of CLDR to it:
//
//	npm install --prefix DIR cldr-core cldr-numbers-full
//	go test ./mapping -run TestCurrencies -cldr DIR
//
// These are the codes of currencies that are, or were until 2015, legal tender, their
// symbols and one-word names in local languages, all English symbols, and French ones with
// a currency sign. Manual entries stay in the list.
func TestCurrencies(t *testing.T) {
	list := map[string][]string{}
	file, err := os.ReadFile("currencies.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(file)) {
		words := strings.Fields(line)
		list[words[0]] = words[1:]
	}
	if *cldr != "" {
		addCLDR(t, list)
	}
	var text strings.Builder
	for _, code := range slices.Sorted(maps.Keys(list)) {
		require.Regexp(t, "^[A-Z]{3}$", code)
		slices.Sort(list[code])
		for _, word := range list[code] {
			require.NotContains(t, notCurrencies, word)
			require.Negative(t, strings.IndexFunc(word, func(r rune) bool { return unicode.IsDigit(r) || unicode.Is(unicode.Cf, r) }), word)
		}
		text.WriteString(strings.Join(append([]string{code}, slices.Compact(list[code])...), " ") + "\n")
	}
	if *cldr != "" {
		require.NoError(t, os.WriteFile("currencies.txt", []byte(text.String()), 0o600))
		return
	}
	require.Equal(t, text.String(), string(file), "sorted, each word once")
}

// addCLDR adds CLDR's words to the list, by currency code.
func addCLDR(t *testing.T, list map[string][]string) {
	decode := func(into any, path ...string) {
		data, err := os.ReadFile(filepath.Join(append([]string{*cldr, "node_modules"}, path...)...))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, into))
	}
	var supplemental struct {
		Supplemental struct {
			LikelySubtags map[string]string
			CurrencyData  struct {
				Region map[string][]map[string]map[string]string
			}
		}
	}
	decode(&supplemental, "cldr-core", "supplemental", "currencyData.json")
	decode(&supplemental, "cldr-core", "supplemental", "likelySubtags.json")
	regions := map[string][]string{} // by code
	for region, currencies := range supplemental.Supplemental.CurrencyData.Region {
		for _, each := range currencies {
			for code, of := range each {
				if of["_tender"] != "false" && (of["_to"] == "" || of["_to"] >= "2015") {
					regions[code] = append(regions[code], region)
					list[code] = slices.Clip(list[code])
				}
			}
		}
	}
	locales, err := os.ReadDir(filepath.Join(*cldr, "node_modules", "cldr-numbers-full", "main"))
	require.NoError(t, err)
	for _, locale := range locales {
		var main struct {
			Main map[string]struct {
				Numbers struct {
					Currencies map[string]map[string]string
				}
			}
		}
		decode(&main, "cldr-numbers-full", "main", locale.Name(), "currencies.json")
		tags := strings.Split(locale.Name(), "-")
		region := tags[len(tags)-1]
		for n := len(tags); n > 0 && (len(region) != 2 || region != strings.ToUpper(region)); n-- {
			likely := strings.Split(supplemental.Supplemental.LikelySubtags[strings.Join(tags[:n], "-")], "-")
			region = likely[len(likely)-1]
		}
		for code, names := range main.Main[locale.Name()].Numbers.Currencies {
			for kind, name := range names {
				symbol := strings.HasPrefix(kind, "symbol")
				own := slices.Contains(regions[code], region) ||
					regions[code] != nil && symbol && (locale.Name() == "en" || locale.Name() == "fr" && strings.IndexFunc(name, func(r rune) bool { return unicode.Is(unicode.Sc, r) }) >= 0)
				words := strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
				word := strings.Join(words, "")
				if own && (symbol || len(words) == 1) && word != code && word != "" && !strings.Contains(word, "#") && !slices.Contains(notCurrencies, word) {
					list[code] = append(list[code], word)
				}
			}
		}
	}
}

// Every word of the list is read before and after a number, with and without a space; a
// single letter only before it.
func TestEveryListedCurrencyIsRead(t *testing.T) {
	file, err := os.ReadFile("currencies.txt")
	require.NoError(t, err)
	for clean, number := range map[string]string{"money": "1,234.50", "money-comma": "1.234,50"} {
		converter := column(t, "type: numeric, clean: ["+clean+"]").NewConverter()
		for word := range strings.FieldsSeq(string(file)) {
			for _, text := range []string{word + number, word + "\u202f" + number, number + word, number + " " + word, "-" + word + number, word + " -" + number} {
				value, reason := cleaned(t, converter, text)
				switch {
				case len(word) == 1 && word != "$" && !strings.HasPrefix(strings.TrimPrefix(text, "-"), word):
					require.Equal(t, refused, value, text)
				case strings.Contains(text, "-"):
					require.Equal(t, "-1234.50", value, "%s of %q: %s", clean, text, reason)
				default:
					require.Equal(t, "1234.50", value, "%s of %q: %s", clean, text, reason)
				}
			}
		}
	}
}
