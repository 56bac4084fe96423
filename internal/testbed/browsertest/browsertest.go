// Package browsertest gives tests a real browser. They drive it with Chromium's DevTools
// protocol, https://chromedevtools.github.io/devtools-protocol/.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
)

// Patience bounds all that a test does in its browser. It allows for machines much slower
// than ours.
const Patience = 3 * time.Minute

// names are the names of Chromium's program. The first one on PATH is used.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// flags turn off what tests do not need: windows, prompts, updates, calls home, and
// rendering that is slower or differs between machines.
var flags = []string{
	"--headless=new", "--remote-debugging-pipe", "--hide-scrollbars", "--mute-audio", "--disable-gpu", "--disable-quic",
	"--no-first-run", "--no-default-browser-check", "--no-service-autorun", "--password-store=basic", "--use-mock-keychain",
	"--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions", "--disable-sync",
	"--disable-breakpad", "--metrics-recording-only", "--disable-client-side-phishing-detection", "--safebrowsing-disable-auto-update",
	"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
	"--disable-hang-monitor", "--disable-ipc-flooding-protection", "--disable-popup-blocking", "--disable-prompt-on-repost",
	"--disable-dev-shm-usage", "--disable-features=Translate", "--force-color-profile=srgb",
}

// Tab is the only tab of a browser. It is closed at the end of the test.
type Tab struct {
	ctx     context.Context
	browser *connection
	session string
}

// New starts a headless browser for the test alone. It calls [Require] first.
func New(t testing.TB) *Tab {
	t.Helper()
	program := Require(t)
	ctx, cancel := context.WithTimeoutCause(context.Background(), Patience, fmt.Errorf("the browser was needed for longer than %s", Patience))
	t.Cleanup(cancel)
	tab := &Tab{ctx: ctx, browser: start(t, ctx, program)}
	var target struct {
		ID string `json:"targetId"`
	}
	require.NoError(t, tab.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target), "starting %s", program)
	var attached struct {
		Session string `json:"sessionId"`
	}
	require.NoError(t, tab.call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached))
	tab.session = attached.Session
	require.NoError(t, tab.call("Page.enable", nil, nil))
	require.NoError(t, tab.call("Page.setLifecycleEventsEnabled", map[string]any{"enabled": true}, nil))
	return tab
}

// start starts the program. It ends when its pipes are closed, with the test or with this
// process.
func start(t testing.TB, ctx context.Context, program string) *connection { //nolint:revive // t comes first in tests
	t.Helper()
	theirs, to, err := os.Pipe()
	require.NoError(t, err)
	from, answers, err := os.Pipe()
	require.NoError(t, err)
	arguments := append([]string{"--user-data-dir=" + t.TempDir()}, flags...)
	if os.Geteuid() == 0 { // Chromium's sandbox refuses to run as root
		arguments = append(arguments, "--no-sandbox")
	}
	process := exec.CommandContext(ctx, program, arguments...)
	process.ExtraFiles = []*os.File{theirs, answers} // its descriptors 3 and 4
	require.NoError(t, process.Start())
	require.NoError(t, errors.Join(theirs.Close(), answers.Close()))
	connected := connect(from, to)
	t.Cleanup(func() {
		require.NoError(t, to.Close())
		_ = process.Wait() // its folder can be removed only after that
		_ = from.Close()
		<-connected.ended
	})
	return connected
}

// Require returns the browser's program. Without one it skips the test, or fails it if the
// environment has CI=true. It skips the test in the fast tier too. Call it before starting
// anything expensive.
func Require(t testing.TB) (program string) {
	t.Helper()
	fulltier.Needs(t, "a browser")
	for _, name := range names {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	const without = "there is no browser on PATH: install Chromium (Debian: apt-get install chromium)"
	if inCI, _ := strconv.ParseBool(os.Getenv("CI")); inCI {
		t.Fatal(without)
	}
	t.Skip(without)
	return ""
}

func (tab *Tab) call(method string, params map[string]any, result any) error {
	if params == nil {
		params = map[string]any{}
	}
	return tab.browser.call(tab.ctx, tab.session, method, params, result)
}

// Navigate opens a page and waits until it is loaded.
func (tab *Tab) Navigate(url string) error {
	var began struct {
		LoaderID  string `json:"loaderId"`
		ErrorText string `json:"errorText"`
	}
	if err := tab.call("Page.navigate", map[string]any{"url": url}, &began); err != nil {
		return err
	}
	switch {
	case began.ErrorText != "":
		return fmt.Errorf("going to %s: %s", url, began.ErrorText)
	case began.LoaderID == "": // already on that page
		return nil
	}
	return tab.browser.waitForLoad(tab.ctx, began.LoaderID)
}

// Evaluate returns the value of a JavaScript expression on the page.
func Evaluate[T any](tab *Tab, expression string) (value T, err error) {
	var evaluated struct {
		Result struct {
			Type  string `json:"type"`
			Value T      `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err = tab.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &evaluated)
	switch {
	case err != nil:
	case evaluated.Exception != nil:
		err = fmt.Errorf("evaluating on the page: %s %s", evaluated.Exception.Text, evaluated.Exception.Exception.Description)
	case evaluated.Result.Type == "undefined":
		err = errors.New("evaluating on the page: the value is undefined")
	}
	return evaluated.Result.Value, err
}

// Text returns the text that the page shows.
func (tab *Tab) Text() (string, error) { return Evaluate[string](tab, "document.body.innerText") }

// Key is a key of the keyboard.
type Key struct {
	name string
	code int
	text string // what it types
}

// The keys.
var (
	TabKey = Key{name: "Tab", code: 9}
	Enter  = Key{name: "Enter", code: 13, text: "\r"}
)

// Press presses and releases a key.
func (tab *Tab) Press(key Key) error {
	for _, event := range []string{"rawKeyDown", "char", "keyUp"} {
		params := map[string]any{"type": event, "key": key.name, "code": key.name, "windowsVirtualKeyCode": key.code}
		if event == "char" {
			if key.text == "" {
				continue
			}
			params["text"] = key.text
		}
		if err := tab.call("Input.dispatchKeyEvent", params, nil); err != nil {
			return err
		}
	}
	return nil
}

// Scheme is a value of the media feature prefers-color-scheme.
type Scheme string

// The schemes.
const (
	Light Scheme = "light"
	Dark  Scheme = "dark"
)

// View sets the size of the tab's window, in CSS pixels, and its color scheme.
func (tab *Tab) View(width, height int64, scheme Scheme) error {
	err := tab.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
	if err != nil {
		return err
	}
	feature := map[string]any{"name": "prefers-color-scheme", "value": scheme}
	return tab.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{feature}}, nil)
}

// Screenshot writes the visible part of the page to a PNG file.
func (tab *Tab) Screenshot(file string) error {
	var picture struct {
		Data []byte `json:"data"`
	}
	if err := tab.call("Page.captureScreenshot", map[string]any{"format": "png"}, &picture); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, picture.Data, 0o600)
}
