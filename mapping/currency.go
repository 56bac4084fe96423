package mapping

import (
	_ "embed" // the list of currencies
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// currencyList has, by ISO 4217 code, the symbols and words for each currency: those of
// CLDR, which TestCurrencies updates, and others that shops use.
//
//go:embed currencies.txt
var currencyList string

// currency says how amounts of a currency are written.
type currency struct {
	lakhs    bool // also as 1,29,900
	thousand bool // with three decimals: it has a thousand subunits
}

// currencies are the listed currencies by currencyKey. A word for several currencies allows
// three decimals only if all of them do.
var currencies = func() map[string]currency {
	all := map[string]currency{}
	for line := range strings.Lines(currencyList) {
		words := strings.Fields(line)
		code := words[0]
		lakhs, thousand := strings.Contains("BDT INR LKR NPR PKR", code), strings.Contains("BHD IQD JOD KWD LYD OMR TND", code)
		for _, word := range words {
			for _, written := range []string{word, strings.TrimSuffix(word, "."), code + word, word + code} {
				key := string(currencyKey(nil, []byte(written)))
				before, known := all[key]
				all[key] = currency{lakhs: lakhs || before.lakhs, thousand: thousand && (before.thousand || !known)}
			}
		}
	}
	return all
}()

// currencyOf recognizes $, US$, USD, USD $ and kr, and any Unicode currency symbol.
func currencyOf(text []byte) (c currency, ok bool) {
	const maxLength = 64 // bytes
	if c, ok = currencies[string(text)]; ok || len(text) > maxLength {
		return c, ok
	}
	var buffer [3 * maxLength]byte
	key := currencyKey(buffer[:0], text)
	if c, ok = currencies[string(key)]; ok {
		return c, true
	}
	symbol, size := utf8.DecodeRune(key)
	return c, size == len(key) && isSymbol(symbol)
}

// currencyKey returns the visible characters of a text, in lower case unless the text is as
// short as a code.
func currencyKey(buffer, text []byte) []byte {
	for _, r := range jsontext.AsString(text) {
		if !isBlank(r) {
			buffer = utf8.AppendRune(buffer, r)
		}
	}
	shown := len(buffer)
	if shown <= 3 {
		return buffer
	}
	for _, r := range jsontext.AsString(buffer) {
		buffer = utf8.AppendRune(buffer, unicode.ToLower(r))
	}
	return buffer[shown:]
}

// isSymbol accepts $ and €, but not cents.
func isSymbol(r rune) bool { return unicode.Is(unicode.Sc, r) && !strings.ContainsRune("¢￠₥", r) }

// isBlank reports whether a character is invisible: white space or a direction control.
func isBlank(r rune) bool {
	return unicode.IsSpace(r) || r > unicode.MaxASCII && unicode.Is(unicode.Cf, r)
}
