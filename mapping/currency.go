package mapping

import (
	_ "embed" // the list of currencies
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

// currencies are all of the list by the keys of what is written for them. Of what
// stands for several, amounts have three decimals only if those of all have.
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

// currencyOf knows $, US$, USD, USD $ and kr, and any symbol that Unicode has for a
// currency.
func currencyOf(text []byte) (c currency, ok bool) {
	const most = 64 // bytes
	if c, ok = currencies[string(text)]; ok || len(text) > most {
		return c, ok
	}
	var buffer [3 * most]byte
	key := currencyKey(buffer[:0], text)
	if c, ok = currencies[string(key)]; ok {
		return c, true
	}
	symbol, size := utf8.DecodeRune(key)
	return c, size == len(key) && isSymbol(symbol)
}

// currencyKey is what shows of a text. What is short, as codes are, tells upper from
// lower case.
func currencyKey(buffer, text []byte) []byte {
	for _, r := range string(text) { // without a copy
		if !isBlank(r) {
			buffer = utf8.AppendRune(buffer, r)
		}
	}
	shown := len(buffer)
	if shown <= 3 {
		return buffer
	}
	for _, r := range string(buffer) {
		buffer = utf8.AppendRune(buffer, unicode.ToLower(r))
	}
	return buffer[shown:]
}

// isSymbol knows $ and €, but no cents.
func isSymbol(r rune) bool { return unicode.Is(unicode.Sc, r) && !strings.ContainsRune("¢￠₥", r) }

// isBlank says of a character that it shows nothing: white space, a direction mark.
func isBlank(r rune) bool {
	return unicode.IsSpace(r) || r > unicode.MaxASCII && unicode.Is(unicode.Cf, r)
}
