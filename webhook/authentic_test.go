package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webhook"
)

const signatureSecret = "signature-secret" // the minimum length

// vendorsSignature is the output of `openssl dgst -sha256 -hmac` for vendorsExample.
const vendorsSignature = "d099f3575b1b8bd44a997f471562524412ac14480a769c170aefeab9a5039c2d"

func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func withSignatures(o *webhook.Options) { o.SignatureSecret = signatureSecret }

func TestSignedNotificationIsAccepted(t *testing.T) {
	// Decoding and encoding this body would change it.
	const unusual = "status=finished&&sitemap_name=%6dy sitemap&sitemap_id=12&scrapingjob_id=1234"
	for name, test := range map[string]struct{ signature, body string }{
		"lower case":     {vendorsSignature, vendorsExample},
		"upper case":     {strings.ToUpper(vendorsSignature), vendorsExample},
		"as it was sent": {sign(signatureSecret, unusual), unusual},
	} {
		t.Run(name, func(t *testing.T) {
			var c temporal
			status, answer := serve(t, &c, withSignatures).send(t, token,
				http.Header{"Content-Type": {form}, "Signature": {test.signature}}, test.body)
			require.Equal(t, http.StatusAccepted, status, answer)
			require.Len(t, c.signals, 1)
		})
	}
}

func TestUnsignedNotificationIsRefused(t *testing.T) {
	const asksFor = "the header Signature must be HMAC-SHA256(SECRET, body) in hexadecimal"
	tooLarge := vendorsExample + "&x=" + strings.Repeat("x", 64<<10)
	for _, test := range []struct {
		name, token, signature, body string
		status                       int
		says                         string
	}{
		{"no signature", token, "", vendorsExample, 401, asksFor},
		{"not hexadecimal", token, "x" + vendorsSignature[1:], vendorsExample, 401, asksFor},
		{"odd length", token, vendorsSignature[1:], vendorsExample, 401, asksFor},
		{"cut", token, vendorsSignature[2:], vendorsExample, 401, asksFor},
		{"longer", token, vendorsSignature + "00", vendorsExample, 401, asksFor},
		{"with an algorithm's name", token, "sha256=" + vendorsSignature, vendorsExample, 401, asksFor},
		{"of another secret", token, sign("another-"+signatureSecret, vendorsExample), vendorsExample, 401, asksFor},
		{"of a token", token, sign(token, vendorsExample), vendorsExample, 401, asksFor},
		{"of no secret", token, sign("", vendorsExample), vendorsExample, 401, asksFor},
		{"of another body", token, vendorsSignature, strings.Replace(vendorsExample, "1234", "1235", 1), 401, asksFor},
		{"of a body that is not a form", token, vendorsSignature, "scrapingjob_id=%zz", 401, asksFor},
		{"signed, but the token is missing", "", vendorsSignature, vendorsExample, 401, "token"},
		{"signed, but the token is wrong", "wrong", vendorsSignature, vendorsExample, 401, "token"},
		{"signed, but too large", token, sign(signatureSecret, tooLarge), tooLarge, 413, "65536 bytes"},
		{"signed, but not a form", token, sign(signatureSecret, "scrapingjob_id=%zz"), "scrapingjob_id=%zz", 400, "%zz"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c temporal
			s := serve(t, &c, withSignatures)
			header := http.Header{"Content-Type": {form}}
			if test.signature != "" {
				header.Set("Signature", test.signature)
			}
			status, answer := s.send(t, test.token, header, test.body)
			require.Equal(t, test.status, status, answer)
			require.Contains(t, answer["error"], test.says)
			require.Empty(t, c.signals)
			right := sign(signatureSecret, test.body)
			require.NotContains(t, answer["error"], right)
			require.NotContains(t, s.log.String(), right)
		})
	}
}

func TestSignatureIsIgnoredWithoutASecret(t *testing.T) {
	var c temporal
	status, answer := serve(t, &c).send(t, token, http.Header{"Content-Type": {form}, "Signature": {"wrong"}}, vendorsExample)
	require.Equal(t, http.StatusAccepted, status, answer)
	require.Len(t, c.signals, 1)
}

func TestShortSignatureSecretIsInvalidAndNotPrinted(t *testing.T) {
	short := signatureSecret[1:]
	err := webhook.Register(gin.New(), webhook.Options{Client: &temporal{}, Tokens: []string{token}, SignatureSecret: short})
	require.ErrorContains(t, err, "SignatureSecret is 15 bytes long: want at least 16")
	require.NotContains(t, err.Error(), short)
}
