package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"github.com/scrapehaul/scrapehaul/internal/validate"
)

const signatureHeader = "Signature"

// authentic compares hashes, always with all tokens, so that timing leaks neither content
// nor length.
func authentic(token string, tokens []string) bool {
	given := sha256.Sum256([]byte(token))
	match := 0
	for _, each := range tokens {
		valid := sha256.Sum256([]byte(each))
		match |= subtle.ConstantTimeCompare(given[:], valid[:])
	}
	return match == 1 && validate.WebhookToken("", token) == nil
}

// signed reports whether the body has a valid signature, or none is required.
func (h *handler) signed(signature string, body []byte) bool {
	if h.options.SignatureSecret == "" {
		return true
	}
	mac := hmac.New(sha256.New, []byte(h.options.SignatureSecret))
	mac.Write(body)
	given, err := hex.DecodeString(signature)
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}
