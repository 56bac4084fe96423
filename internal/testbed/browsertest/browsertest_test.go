package browsertest

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTabNavigatesPressesKeysAndTakesScreenshots(t *testing.T) {
	t.Parallel()
	tab := New(t)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "a" || password != "b" {
			w.Header().Set("WWW-Authenticate", `Basic realm="page"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`<a href="#there">first</a><p>page ` + r.URL.Path + `</p>`))
	}))
	t.Cleanup(pages.Close)
	address := pages.Listener.Addr().String()

	require.NoError(t, tab.Navigate("http://a:b@"+address+"/one"))
	require.NoError(t, tab.Navigate("http://"+address+"/two"))
	text, err := tab.Text()
	require.NoError(t, err)
	require.Contains(t, text, "page /two")
	require.NoError(t, tab.Press(TabKey))
	require.NoError(t, tab.Press(Enter))
	there, err := Evaluate[string](tab, "location.hash")
	require.NoError(t, err)
	require.Equal(t, "#there", there)
	require.NoError(t, tab.View(360, 700, Dark))
	dark, err := Evaluate[bool](tab, `innerWidth === 360 && matchMedia("(prefers-color-scheme: dark)").matches`)
	require.NoError(t, err)
	require.True(t, dark)
	picture := filepath.Join(t.TempDir(), "pictures", "page.png")
	require.NoError(t, tab.Screenshot(picture))
	require.FileExists(t, picture)

	_, err = Evaluate[string](tab, "nothing.at.all")
	require.ErrorContains(t, err, "nothing is not defined")
	_, err = Evaluate[string](tab, "undefined")
	require.ErrorContains(t, err, "undefined")
	require.ErrorContains(t, tab.Navigate("http://127.0.0.1:1/"), "ERR_")
}
