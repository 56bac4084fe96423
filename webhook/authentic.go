package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

const signatureHeader = "Signature"

// authentic compares hashes, so that neither time nor length tells anything,
// and always with all tokens.
func (h *handler) authentic(token string) bool {
	given := sha256.Sum256([]byte(token))
	match := 0
	for i := range h.tokens {
		match |= subtle.ConstantTimeCompare(given[:], h.tokens[i][:])
	}
	return match == 1
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
