package statuspage_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestThereIsNoPageWithoutCredentialsInTheSettings(t *testing.T) {
	t.Parallel()
	s := &site{System: systemtest.New(t, nil)}
	webhook, err := url.Parse(s.Webhook)
	require.NoError(t, err)
	s.address = webhook.Host
	require.Equal(t, http.StatusNotFound, s.visitor().get("").status)
	require.Equal(t, http.StatusNotFound, s.visitor().get("/500").status)
}

func TestNothingIsShownWithoutThePassword(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, wrong := range []string{"", "wrong", password + "x", strings.ToUpper(password)} {
		v := s.visitor()
		v.password = wrong
		for _, path := range []string{"", "/500", "/500/accept", "/style.css"} {
			if wrong != "" && path != "" {
				continue // few wrong guesses are allowed
			}
			refused := v.get(path)
			require.Equal(t, http.StatusUnauthorized, refused.status)
			require.Contains(t, refused.header.Get("WWW-Authenticate"), "Basic")
			require.NotContains(t, refused.body, "Running")
			require.Empty(t, refused.header.Values("Set-Cookie"))
		}
		require.Equal(t, http.StatusUnauthorized, v.post("/500/accept", nil).status)
	}
}

func TestPasswordsCannotBeGuessedInALoop(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	operator := s.visitor()
	require.Equal(t, http.StatusOK, operator.get("").status)
	guessing := s.visitor()
	guessing.password = "wrong"
	for n := 0; guessing.get("").status != http.StatusTooManyRequests; n++ {
		require.Less(t, n, 50)
	}
	// Even the right password is refused then, so that guessing reveals nothing.
	guessing.password = password
	refused := guessing.get("")
	require.Equal(t, http.StatusTooManyRequests, refused.status)
	require.NotEmpty(t, refused.header.Get("Retry-After"))
	// An existing session is not locked out.
	require.Equal(t, http.StatusOK, operator.get("").status)
}

func TestPagesMayNotBeFramedCachedOrScripted(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	v := s.visitor()
	for _, path := range []string{"", "/style.css", "/nothing"} {
		header := v.get(path).header
		require.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
		require.Contains(t, header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.NotContains(t, header.Get("Content-Security-Policy"), "unsafe-inline")
		require.Equal(t, "DENY", header.Get("X-Frame-Options"))
		require.Equal(t, "no-store", header.Get("Cache-Control"))
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", header.Get("Referrer-Policy"))
	}
	cookie := s.visitor().get("").header.Get("Set-Cookie")
	require.Contains(t, cookie, "HttpOnly")
	require.Contains(t, cookie, "SameSite=Strict")
	require.Contains(t, cookie, "Path=/imports")
	require.NotContains(t, cookie, "Secure", "over HTTP the browser would drop it")
	v = s.visitor()
	v.header.Set("X-Forwarded-Proto", "https")
	require.Contains(t, v.get("").header.Get("Set-Cookie"), "Secure")
}

func TestForgedRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.StartWorker(s.Spool)
	id := s.addRejecting("tires")
	s.Notify(id)
	s.Attention(id)
	path := "/" + workflows.WorkflowID(id)
	v := s.visitor()
	valid := v.get(path + "/accept").form()
	require.NotEmpty(t, valid.Get("token"))
	other := s.visitor()
	othersToken := other.get(path + "/accept").form().Get("token")
	require.NotEqual(t, valid.Get("token"), othersToken)
	with := func(name, value string) url.Values {
		form := maps.Clone(valid)
		form.Set(name, value)
		return form
	}

	for name, c := range map[string]struct {
		form   url.Values
		header [2]string
		path   string
		status int
	}{
		"no form":          {nil, [2]string{}, "/accept", http.StatusForbidden},
		"no token":         {with("token", ""), [2]string{}, "/accept", http.StatusForbidden},
		"a wrong token":    {with("token", "x"), [2]string{}, "/accept", http.StatusForbidden},
		"another's token":  {with("token", othersToken), [2]string{}, "/accept", http.StatusForbidden},
		"another origin":   {valid, [2]string{"Origin", "https://evil.example"}, "/accept", http.StatusForbidden},
		"no origin at all": {valid, [2]string{"Origin", "null"}, "/accept", http.StatusForbidden},
		"another site":     {valid, [2]string{"Sec-Fetch-Site", "cross-site"}, "/accept", http.StatusForbidden},
		"a sibling site":   {valid, [2]string{"Sec-Fetch-Site", "same-site"}, "/accept", http.StatusForbidden},
		"an old problem":   {with("seen", "x"), [2]string{}, "/accept", http.StatusConflict},
		"without effect":   {valid, [2]string{}, "/delete-now", http.StatusConflict},
		"no such signal":   {valid, [2]string{}, "/notification", http.StatusNotFound},
		"a long form":      {with("more", strings.Repeat("x", 10_000)), [2]string{}, "/accept", http.StatusRequestEntityTooLarge},
	} {
		v.header = http.Header{}
		if c.header[0] != "" {
			v.header.Set(c.header[0], c.header[1])
		}
		require.Equal(t, c.status, v.post(path+c.path, c.form).status, name)
	}
	// A signal would be processed before the query is answered.
	require.Equal(t, workflows.StepNeedsAttention, s.Progress(id).Step)
	for _, event := range s.History(s.Runs(id)[0]).GetEvents() {
		signaled := event.GetWorkflowExecutionSignaledEventAttributes()
		require.True(t, signaled == nil || signaled.GetSignalName() == workflows.NotificationSignal)
	}

	v.header = http.Header{"Sec-Fetch-Site": {"same-origin"}}
	done := v.post(path+"/keep", valid)
	require.Equal(t, http.StatusSeeOther, done.status)
	require.Equal(t, "/imports"+path, done.header.Get("Location"))
	require.Equal(t, workflows.Kept, s.Result(id).Outcome)
	require.Contains(t, v.get(path).body, "Keep was sent to the import of scraping job "+workflows.WorkflowID(id))
	require.NotContains(t, v.get(path).body, "Keep was sent", "a notice is shown once")
	late := v.post(path+"/keep", valid)
	require.Equal(t, http.StatusConflict, late.status)
	require.Contains(t, late.body, "starter reimport "+workflows.WorkflowID(id))
}
