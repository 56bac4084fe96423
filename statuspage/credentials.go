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
	// keyIterations make it slow to guess the password from what a page shows.
	keyIterations = 100_000
)

// credentials know who may see the page. What they sign is valid on every
// starter with the same credentials, and no longer when they change.
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

// check compares hashes, so that neither time nor length tells anything. A
// browser that has been let in before is not kept out by the wrong guesses of
// others at its address, which may be a proxy's.
func (k *credentials) check(c *gin.Context) (known, tooMany bool) {
	user, password, given := c.Request.BasicAuth()
	if !given {
		return false, false
	}
	session, letInBefore := k.signedCookie(c, sessionCookie, "session")
	address, _, err := net.SplitHostPort(c.Request.RemoteAddr)
	if err != nil {
		address = c.Request.RemoteAddr
	}
	if !letInBefore && k.guesses.count(address, 1, time.Now()) > maxGuesses {
		return false, true
	}
	givenUser, givenPassword := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(givenUser[:], k.user[:])&subtle.ConstantTimeCompare(givenPassword[:], k.password[:]) != 1 {
		return false, false
	}
	if !letInBefore {
		k.guesses.count(address, -1, time.Now())
		session = rand.Text()
		setCookie(c, sessionCookie, session+"."+k.sign("session", session), 0)
	}
	c.Set(sessionKey, session)
	return true, false
}

// formToken is the token of the forms of this session.
func (k *credentials) formToken(c *gin.Context) string {
	return k.sign("form", c.GetString(sessionKey))
}

// ownForm says whether the form carries the token of its session.
func (k *credentials) ownForm(c *gin.Context) bool {
	return hmac.Equal([]byte(c.PostForm("token")), []byte(k.formToken(c)))
}

func (k *credentials) sign(purpose, value string) string {
	mac := hmac.New(sha256.New, k.key)
	mac.Write([]byte(purpose + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signedCookie reads a cookie VALUE.SIGNATURE.
func (k *credentials) signedCookie(c *gin.Context, name, purpose string) (value string, valid bool) {
	cookie, err := c.Request.Cookie(name)
	if err != nil {
		return "", false
	}
	value, signature, _ := strings.Cut(cookie.Value, ".")
	return value, hmac.Equal([]byte(signature), []byte(k.sign(purpose, value)))
}

// setCookie sets a cookie for the page alone; 0 seconds is until the browser
// closes, less removes it.
func setCookie(c *gin.Context, name, value string, seconds int) {
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // Secure where there is TLS, here or in front of us: elsewhere the browser would drop it
		Name: name, Value: value, Path: base(c), MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: c.Request.TLS != nil || c.GetHeader("X-Forwarded-Proto") == "https",
	})
}

// Wrong guesses that one address has in guessesWithin.
const (
	maxGuesses    = 10
	guessesWithin = time.Minute
)

// guesses counts wrong passwords by address, in a table of fixed size: some
// addresses share a place.
type guesses struct {
	seed   maphash.Seed
	mu     sync.Mutex
	places [1 << 10]struct {
		count int
		until time.Time
	}
}

// count counts guesses of the address, or takes them back, and returns how many there
// are. They are counted before they are looked at, so that many at once are too.
func (g *guesses) count(address string, by int, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	place := &g.places[maphash.String(g.seed, address)%uint64(len(g.places))]
	if now.After(place.until) {
		place.count, place.until = 0, now.Add(guessesWithin)
	}
	place.count = max(place.count+by, 0)
	return place.count
}
