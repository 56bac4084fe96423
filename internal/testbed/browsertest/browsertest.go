// Package browsertest gives tests a real browser.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
)

// Patience bounds everything that a test does in its browser. It is for
// machines much slower than ours.
const Patience = 3 * time.Minute

// names are those of Chromium's program, the first found on PATH is taken.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// New starts a headless browser that the test has to itself, and returns the
// chromedp context of its tab. It ends with the test. It does what [Require]
// does first.
func New(t testing.TB) context.Context {
	t.Helper()
	program := Require(t)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("headless", "new"),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 { // Chromium's sandbox refuses to run as root
		options = append(options, chromedp.NoSandbox)
	}
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop) // waits for the browser's end: after that its folder can be removed
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	require.NoError(t, chromedp.Do(ctx), "starting %s", program)
	return ctx
}

// Require returns the browser's program. Where there is none the test is skipped,
// unless CI is true: there it fails; and it is in the full tier only. A test that has much to start begins with it.
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

// Scheme is what the operating system asks of pages: the media feature
// prefers-color-scheme.
type Scheme string

// The schemes.
const (
	Light Scheme = "light"
	Dark  Scheme = "dark"
)

// View makes the tab's window that large, in CSS pixels, and of that scheme.
func View(width, height int64, scheme Scheme) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.EmulateViewport(width, height),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: string(scheme)}},
			})
			return err
		}),
	)
}

// Screenshot writes what the window shows as a PNG file.
func Screenshot(t testing.TB, ctx context.Context, file string) { //nolint:revive // t comes first in tests
	t.Helper()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
	require.NoError(t, os.WriteFile(file, picture, 0o600))
}
