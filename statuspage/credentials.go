package statuspage

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash/maphash"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	sessionCookie = "scrapehaul_session"
	sessionKey    = "statuspage session" // in the gin context
	// keyIterations slow down guessing the password from a page's signatures.
	keyIterations = 100_000
)

// credentials authenticate requests. Their signatures are valid on every starter with the
// same credentials, until these change.
type credentials struct {
	user, password [sha256.Size]byte
	key            []byte
	guesses        *guesses
}

func newCredentials(user, password string) (credentials, error) {
	key, err := pbkdf2.Key(sha256.New, password, []byte("scrapehaul status page of "+user), keyIterations, sha256.Size)
	return credentials{
		user: sha256.Sum256([]byte(user)), password: sha256.Sum256([]byte(password)),
		key: key, guesses: &guesses{seed: maphash.MakeSeed()},
	}, err
}

// check compares hashes, so that timing leaks neither content nor length. Wrong guesses
// from an address, which may be a proxy's, do not lock out a browser that already has a
// session.
func (k *credentials) check(c *gin.Context) (known, tooMany bool) {
	user, password, given := c.Request.BasicAuth()
	if !given {
		return false, false
	}
	session, hasSession := k.signedCookie(c, sessionCookie, "session")
	address, _, err := net.SplitHostPort(c.Request.RemoteAddr)
	if err != nil {
		address = c.Request.RemoteAddr
	}
	if !hasSession && k.guesses.count(address, 1, time.Now()) > maxGuesses {
		return false, true
	}
	givenUser, givenPassword := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(givenUser[:], k.user[:])&subtle.ConstantTimeCompare(givenPassword[:], k.password[:]) != 1 {
		return false, false
	}
	if !hasSession {
		k.guesses.count(address, -1, time.Now())
		session = rand.Text()
		setCookie(c, sessionCookie, session+"."+k.sign("session", session), 0)
	}
	c.Set(sessionKey, session)
	return true, false
}

// formToken returns the token of this session's forms.
func (k *credentials) formToken(c *gin.Context) string {
	return k.sign("form", c.GetString(sessionKey))
}

// ownForm reports whether the form has the token of its session.
func (k *credentials) ownForm(c *gin.Context) bool {
	return hmac.Equal([]byte(c.PostForm("token")), []byte(k.formToken(c)))
}

func (k *credentials) sign(purpose, value string) string {
	mac := hmac.New(sha256.New, k.key)
	mac.Write([]byte(purpose + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signedCookie reads a cookie of the form VALUE.SIGNATURE.
func (k *credentials) signedCookie(c *gin.Context, name, purpose string) (value string, valid bool) {
	cookie, err := c.Request.Cookie(name)
	if err != nil {
		return "", false
	}
	value, signature, _ := strings.Cut(cookie.Value, ".")
	return value, hmac.Equal([]byte(signature), []byte(k.sign(purpose, value)))
}

// setCookie sets a cookie for the page only. With 0 seconds it lasts until the browser
// closes; a negative number removes it.
func setCookie(c *gin.Context, name, value string, seconds int) {
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // Secure only with TLS, here or at a proxy: otherwise the browser would drop it
		Name: name, Value: value, Path: base(c), MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: c.Request.TLS != nil || c.GetHeader("X-Forwarded-Proto") == "https",
	})
}

// An address may make maxGuesses wrong guesses per guessWindow.
const (
	maxGuesses  = 10
	guessWindow = time.Minute
)

// guesses counts wrong passwords by address, in a table of fixed size: some addresses share
// an entry.
type guesses struct {
	seed    maphash.Seed
	mu      sync.Mutex
	entries [1 << 10]struct {
		count int
		until time.Time
	}
}

// count adds guesses of the address, or subtracts them, and returns the total. Guesses are
// counted before they are checked, so that concurrent ones count too.
func (g *guesses) count(address string, by int, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	entry := &g.entries[maphash.String(g.seed, address)%uint64(len(g.entries))]
	if now.After(entry.until) {
		entry.count, entry.until = 0, now.Add(guessWindow)
	}
	entry.count = max(entry.count+by, 0)
	return entry.count
}
