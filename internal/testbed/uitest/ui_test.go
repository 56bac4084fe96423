package uitest_test

import (
	"flag"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/browsertest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

var screenshots = flag.String("screenshots", "", "write pictures of the Temporal UI into this `folder`")

func TestMain(m *testing.M) { systemtest.Main(m) }

// operator uses scrapehaul through the Temporal UI.
type operator struct {
	*systemtest.System
	address string // of the UI
	tab     *browsertest.Tab
}

// newOperator returns an operator with an empty namespace after setup, and a worker.
func newOperator(t *testing.T, settings map[string]string, changes ...func(*webscrapertest.Options)) *operator {
	t.Helper()
	browsertest.Require(t)
	server := temporaltest.NewServerWithUI(t)
	s := systemtest.NewOn(t, server.Namespace, postgrestest.NewDatabase(t), settings, changes...)
	_, err := s.Programs.RunStarter(t.Context(), s.Env, "setup")
	require.NoError(t, err)
	// A starter checks for the search attributes when it starts.
	s.Webhook = s.StartStarter(s.Env)
	s.Cloud.SetWebhookURL(s.Webhook)
	s.StartWorker(s.Spool)
	return &operator{System: s, address: server.UIAddress()}
}

// openBrowser opens the browser. Call it after slow steps: the browser's time is limited.
func (o *operator) openBrowser() {
	o.T.Helper()
	o.tab = browsertest.New(o.T)
	require.NoError(o.T, o.tab.View(1300, 860, browsertest.Light))
}

// list shows the workflows that match the query; an empty one matches all.
func (o *operator) list(query string) {
	o.T.Helper()
	address := o.address + "/namespaces/" + o.Env.TemporalNamespace + "/workflows?query=" + url.QueryEscape(query)
	require.NoError(o.T, o.tab.Navigate(address))
}

// open goes from the list to a job's workflow.
func (o *operator) open(id int64) {
	o.T.Helper()
	o.openWorkflow(workflows.WorkflowID(id))
}

// openWorkflow goes from the list to a workflow.
func (o *operator) openWorkflow(id string) {
	o.T.Helper()
	o.click("a", id)
	o.see("the workflow", `h1[data-testid="workflow-id-heading"]`, id)
}

// details shows the tab with the summary and the current details.
func (o *operator) details() {
	o.T.Helper()
	o.click(`[data-testid="user-metadata-tab"]`, "")
}

// signal sends a signal without input, with the UI's own form.
func (o *operator) signal(name string) {
	o.T.Helper()
	o.click("button", "More Actions")
	o.click(`[data-testid="signal-button"]`, "")
	o.click(`dialog[open] [data-testid="signal-select-button"]`, "")
	o.see("the signals of a workflow", `dialog[open] [role="option"]`, name)
	o.picture("temporal-ui-signal")
	o.click(`dialog[open] [role="option"]`, name)
	o.click(`dialog[open] [data-testid="confirm-modal-button"]`, "Submit")
	o.waitForText("the UI's confirmation", "Workflow signaled.")
}

// find returns JavaScript for the first visible and enabled element of the selector whose
// first line is the text, unless the text is empty. The UI has most of a page's head twice,
// once hidden.
func find(selector, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e =>
		e.checkVisibility({visibilityProperty: true, opacityProperty: true}) && !e.disabled && (%[2]q === "" || e.innerText.trim().split("\n")[0] === %[2]q)
	)`, selector, text)
}

// see waits for such an element.
func (o *operator) see(what, selector, text string) {
	o.T.Helper()
	o.waitFor(what, find(selector, text)+` !== undefined`)
}

// click waits for such an element and clicks it.
func (o *operator) click(selector, text string) {
	o.T.Helper()
	o.waitFor(selector+" "+text, `(e => e !== undefined && (e.click(), true))(`+find(selector, text)+`)`)
}

// waitFor waits until the JavaScript condition is true.
func (o *operator) waitFor(what, condition string) {
	o.T.Helper()
	o.WaitFor(what+" in the Temporal UI", func() bool {
		ok, err := browsertest.Evaluate[bool](o.tab, condition) // fails while the page changes
		return err == nil && ok
	})
}

// waitForText waits until the page, including the frames with the UI's Markdown, has all
// parts.
func (o *operator) waitForText(what string, parts ...string) {
	o.T.Helper()
	var text string
	defer func() {
		if o.T.Failed() {
			o.T.Logf("the page:\n%s", text)
		}
	}()
	o.WaitFor(what+" in the Temporal UI", func() bool {
		seen, err := browsertest.Evaluate[string](o.tab,
			`[document, ...[...document.querySelectorAll("iframe")].map(f => f.contentDocument)].map(d => d?.body?.innerText ?? "").join("\n")`)
		if err != nil {
			return false
		}
		text = strings.ReplaceAll(seen, "\u2003", "") // the wide space between columns
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
	})
}

// requireNothingCut requires that the UI shows all rows of the tables in the current
// details.
func (o *operator) requireNothingCut() {
	o.T.Helper()
	o.waitFor("all rows of the current details", `[...document.querySelectorAll("iframe")].some(f => {
		const rows = [...(f.contentDocument?.querySelectorAll("tr") ?? [])];
		return rows.length > 0 && rows.every(row => row.getBoundingClientRect().bottom <= f.clientHeight);
	})`)
}

// row returns a row of the current details as text.
func row(name, format string, values ...any) string {
	return name + "\t" + fmt.Sprintf(format, values...)
}

// picture takes a screenshot if -screenshots is set.
func (o *operator) picture(name string) {
	if *screenshots != "" {
		require.NoError(o.T, o.tab.Screenshot(filepath.Join(*screenshots, name+".png")))
	}
}
