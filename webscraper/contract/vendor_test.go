package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/nodepackage"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// vendorCall is a call to the vendor's package; see drive.cjs.
type vendorCall struct {
	Object string       `json:"object"`
	File   string       `json:"file,omitempty"` // of a reader
	Steps  []vendorStep `json:"steps"`
}

type vendorStep struct {
	Method string `json:"method"`
	Args   []any  `json:"args"`
	Keep   bool   `json:"keep"`
}

// onClient calls a method of the vendor's client.
func onClient(method string, args ...any) vendorCall {
	return vendorCall{Object: "client"}.then(method, args...)
}

// onReader calls a method of the vendor's JsonReader of a file.
func onReader(file, method string) vendorCall {
	return vendorCall{Object: "reader", File: file}.then(method)
}

// then calls a method of what the call has returned so far.
func (c vendorCall) then(method string, args ...any) vendorCall {
	c.Steps = append(c.Steps, vendorStep{Method: method, Args: append([]any{}, args...)})
	return c
}

// keep makes the next method call use the same object as the last one.
func (c vendorCall) keep() vendorCall {
	c.Steps[len(c.Steps)-1].Keep = true
	return c
}

// vendorOutcome is the outcome of a call: a value or an error.
type vendorOutcome struct {
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

// vendorProcess is the outcome of a process of the vendor's client.
type vendorProcess struct {
	outcomes []vendorOutcome // of the calls that settled
	err      error           // of waiting for the process
	stderr   string
}

// runVendor makes calls in sequence, in one process.
func runVendor(ctx context.Context, t *testing.T, server *webscrapertest.Cloud, calls ...vendorCall) vendorProcess {
	t.Helper()
	node := requireVendor(t)
	script, err := json.Marshal(calls)
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, node, "--require", "./redirect.cjs", "drive.cjs", string(script))
	cmd.Env = append(os.Environ(), "WEBSCRAPERTEST_URL="+server.URL, "WEBSCRAPERTEST_TOKEN="+webscrapertest.DefaultToken)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	process := vendorProcess{err: cmd.Run(), stderr: stderr.String()}
	for line := range bytes.Lines(stdout.Bytes()) {
		var outcome vendorOutcome
		require.NoError(t, json.Unmarshal(line, &outcome), "%s", line)
		process.outcomes = append(process.outcomes, outcome)
	}
	return process
}

// callVendor makes calls that must all settle.
func callVendor(t *testing.T, server *webscrapertest.Cloud, calls ...vendorCall) []vendorOutcome {
	t.Helper()
	process := runVendor(t.Context(), t, server, calls...)
	require.NoError(t, process.err, process.stderr)
	require.Len(t, process.outcomes, len(calls), process.stderr)
	return process.outcomes
}

// newClient returns our client for a fake.
func newClient(t *testing.T, server *webscrapertest.Cloud, opts ...webscraper.Option) *webscraper.Client {
	t.Helper()
	client, err := webscraper.NewClient(webscrapertest.DefaultToken, append(opts, webscraper.WithBaseURI(server.URL))...)
	require.NoError(t, err)
	return client
}

// requireVendor installs the pinned version of the vendor's package and returns the node
// command.
func requireVendor(t *testing.T) string {
	t.Helper()
	fulltier.Needs(t, "Node.js and npm")
	node, err := installVendor()
	if errors.Is(err, nodepackage.ErrNoNode) {
		t.Skipf("the contract test runs the vendor's Node.js client: %s", err)
	}
	require.NoError(t, err)
	return node
}

var installVendor = sync.OnceValues(func() (node string, err error) {
	return nodepackage.Install(".", "@webscraperio/api-client-nodejs")
})
