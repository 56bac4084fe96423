package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"github.com/scrapehaul/scrapehaul/internal/validate"
)

const signatureHeader = "Signature"

// authentic compares hashes, so that neither time nor length tells anything,
// and always with all tokens.
func authentic(token string, tokens []string) bool {
	given := sha256.Sum256([]byte(token))
	match := 0
	for _, each := range tokens {
		valid := sha256.Sum256([]byte(each))
		match |= subtle.ConstantTimeCompare(given[:], valid[:])
	}
	return match == 1 && validate.WebhookToken("", token) == nil
}

// signed says whether the body is signed as the options want it, which may be
// not at all.
func (h *handler) signed(signature string, body []byte) bool {
	if h.options.SignatureSecret == "" {
		return true
	}
	mac := hmac.New(sha256.New, []byte(h.options.SignatureSecret))
	mac.Write(body)
	given, err := hex.DecodeString(signature)
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}
