package mapping

import (
	"bytes"
	_ "embed" // the list of currencies
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// currencyList has, by the code of ISO 4217, what is written for each currency: what
// CLDR has, which TestCurrencies brings up to date, and what else shops write.
//
//go:embed currencies.txt
var currencyList string

// currency says how amounts of one are written.
type currency struct {
	lakhs    bool // as 1,29,900 too
	thousand bool // with three decimals: it has a thousand parts
}

// currencies are all of the list by what is written for them. Of what stands for
// several, amounts have three decimals only if those of all have.
var currencies = func() map[string]currency {
	all := map[string]currency{}
	for line := range strings.Lines(currencyList) {
		words := strings.Fields(line)
		c := currency{
			lakhs:    strings.Contains("BDT INR LKR NPR PKR", words[0]),
			thousand: strings.Contains("BHD IQD JOD KWD LYD OMR TND", words[0]),
		}
		for _, word := range words {
			for _, word := range slices.Compact([]string{word, strings.TrimSuffix(word, ".")}) {
				key := string(appendCurrencyKey(nil, []byte(word)))
				before, known := all[key]
				all[key] = currency{lakhs: c.lakhs || before.lakhs, thousand: c.thousand && (before.thousand || !known)}
			}
		}
	}
	return all
}()

// currencyOf knows $, US$, USD, USD $ and kr, and any symbol that Unicode has for a
// currency.
func currencyOf(text []byte) (c currency, ok bool) {
	const most = 64 // bytes
	if c, ok = currencies[string(text)]; ok || len(text) > most {
		return c, ok
	}
	var shown, key [2 * most]byte
	text = appendShown(shown[:0], text)
	if c, ok = currencies[string(appendCurrencyKey(key[:0], text))]; ok {
		return c, true
	}
	code := bytes.TrimFunc(text, isSymbol)
	if utf8.RuneCount(text) != utf8.RuneCount(code)+1 || (len(code) > 0 && !isCode(code)) {
		return c, false
	}
	c, ok = currencies[string(code)]
	return c, ok || len(code) == 0
}

// appendShown appends what is not blank of a text.
func appendShown(to, text []byte) []byte {
	for _, r := range string(text) { // without a copy
		if !isBlank(r) {
			to = utf8.AppendRune(to, r)
		}
	}
	return to
}

// appendCurrencyKey appends the key of what is written for a currency: what is short,
// as codes are, tells upper from lower case.
func appendCurrencyKey(to, text []byte) []byte {
	if len(text) <= 3 {
		return append(to, text...)
	}
	for _, r := range string(text) {
		to = utf8.AppendRune(to, unicode.ToLower(r))
	}
	return to
}

// isSymbol knows $ and €, but no cents.
func isSymbol(r rune) bool { return unicode.Is(unicode.Sc, r) && !strings.ContainsRune("¢￠₥", r) }

// isCode knows what a code of ISO 4217 looks like.
func isCode(text []byte) bool {
	return len(text) == 3 && bytes.IndexFunc(text, func(r rune) bool { return r < 'A' || r > 'Z' }) < 0
}

// isBlank says of a character that it shows nothing: white space, a direction mark.
func isBlank(r rune) bool { return unicode.IsSpace(r) || r > unicode.MaxASCII && unicode.Is(unicode.Cf, r) }

// trimBlank cuts what is blank around a text.
func trimBlank(text []byte) []byte {
	shows := func(c byte) bool { return c > ' ' && c < utf8.RuneSelf }
	if len(text) == 0 || shows(text[0]) && shows(text[len(text)-1]) {
		return text
	}
	return bytes.TrimFunc(text, isBlank)
}
