package statuspage_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/browsertest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

var screenshots = flag.String("screenshots", "", "write pictures of the pages into this `folder`")

func TestMain(m *testing.M) { systemtest.Main(m) }

const (
	user     = "operator"
	password = "page-password-zx87"
)

// site is a starter's status page in a complete system.
type site struct {
	*systemtest.System
	address string // host:port
}

func newSite(t *testing.T, settings map[string]string, changes ...func(*webscrapertest.Options)) *site {
	t.Helper()
	all := map[string]string{
		"STATUS_PAGE_USER": user, "STATUS_PAGE_PASSWORD": password, "TEMPORAL_UI_URL": "http://127.0.0.1:8233/",
		"HEARTBEAT_TIMEOUT": "15s",
	}
	for name, value := range settings {
		all[name] = value
	}
	s := &site{System: systemtest.New(t, all, append(changes, systemtest.NoGzip, slowly)...)}
	t.Cleanup(func() { require.NotContains(t, s.Log.String(), password) })
	webhook, err := url.Parse(s.Webhook)
	require.NoError(t, err)
	s.address = webhook.Host
	return s
}

// slowly makes the cloud scrape created jobs for ten minutes.
func slowly(o *webscrapertest.Options) {
	o.Timeline = webscrapertest.Timeline{Started: 10 * time.Minute}
}

func (s *site) url(path string) string { return "http://" + s.address + "/imports" + path }

// addRejecting adds a job with one record that is rejected.
func (s *site) addRejecting(sitemap string) (id int64) {
	lines := strings.Repeat(`{"web-scraper-order":"1-1","product":"kept"}`+"\n", 99)
	return s.Cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Records: webscrapertest.RawBody(lines+`["<script>alert(1)</script>"]`+"\n", 100)})
}

// drip slows down every download of the job to 100 kB a second.
func (s *site) drip(id int64) {
	s.Cloud.Inject(webscrapertest.Fault{
		Path: fmt.Sprintf("scraping-job/%d/json", id), Effect: webscrapertest.Drip(2000, 20*time.Millisecond),
	})
}

// terminate ends an import that would not end on its own.
func (s *site) terminate(id int64) {
	require.NoError(s.T, s.Temporal.TerminateWorkflow(context.Background(), workflows.WorkflowID(id), "", "seen enough"))
}

// browser returns a signed-in browser tab.
func (s *site) browser() *browsertest.Tab {
	s.T.Helper()
	tab := browsertest.New(s.T)
	require.NoError(s.T, tab.Navigate("http://"+user+":"+password+"@"+s.address+"/imports"))
	return tab
}

// goTo opens a page of the site in the tab, and returns its text.
func (s *site) goTo(tab *browsertest.Tab, path string) (text string) {
	s.T.Helper()
	require.NoError(s.T, tab.Navigate(s.url(path)))
	return s.text(tab)
}

func (s *site) text(tab *browsertest.Tab) string {
	s.T.Helper()
	text, err := tab.Text()
	require.NoError(s.T, err)
	return text
}

// visitor is an HTTP client with cookies and credentials.
type visitor struct {
	s        *site
	client   http.Client
	password string
	header   http.Header
}

func (s *site) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	require.NoError(s.T, err)
	noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &visitor{s: s, client: http.Client{Jar: jar, CheckRedirect: noRedirects}, password: password, header: http.Header{}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (v *visitor) get(path string) answer { return v.send(http.MethodGet, path, nil) }

func (v *visitor) post(path string, form url.Values) answer {
	return v.send(http.MethodPost, path, form)
}

func (v *visitor) send(method, path string, form url.Values) answer {
	t := v.s.T
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, v.s.url(path), strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header = v.header.Clone()
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if v.password != "" {
		request.SetBasicAuth(user, v.password)
	}
	response, err := v.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

var hidden = regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)

// form reads the hidden fields of a page's form.
func (a answer) form() url.Values {
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(a.body, -1) {
		form.Set(field[1], field[2])
	}
	return form
}

// picture takes a screenshot if the flag asks for them.
func (s *site) picture(tab *browsertest.Tab, name string) {
	if *screenshots != "" {
		require.NoError(s.T, tab.Screenshot(filepath.Join(*screenshots, name+".png")))
	}
}
