package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

func TestNewRunIsRecognizedByItsID(t *testing.T) {
	sent := time.Now()
	now := time.Now().UnixMilli()
	id := fmt.Sprintf("%08x-%04x-7c6e-94e0-9b3b1f6d2a57", now>>16, now&0xffff) // a UUID of version 7
	require.True(t, workflows.StartedSince(sent, id))
	require.False(t, workflows.StartedSince(sent.Add(10*time.Second), id), "it was running before")
	for _, other := range []string{"f47ac10b-58cc-4372-a567-0e02b2c3d479", "", "default-test-run-id", "zzzzzzzz-zzzz-7zzz-zzzz-zzzzzzzzzzzz"} {
		require.False(t, workflows.StartedSince(sent, other), other)
	}
}

// startOptions is a client that records the options of a start, and starts nothing.
type startOptions struct {
	client.Client
	last client.StartWorkflowOptions
}

func (c *startOptions) ExecuteWorkflow(_ context.Context, options client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	c.last = options
	return nil, errors.New("started")
}

func TestRunsOfTwoAccountsAreNeverTheSame(t *testing.T) {
	of := map[string]contract.RunSitemapInput{}
	for _, in := range []contract.RunSitemapInput{
		{SitemapID: 5, CustomID: "x"},
		{SitemapID: 5, CustomID: "acme-x"},
		{SitemapID: 5, CustomID: "acme:x"},
		{SitemapID: 5, CustomID: "7-x"},
		{SitemapID: 5, CustomID: "7-5-x"},
		{Account: "acme", SitemapID: 5, CustomID: "x"},
		{Account: "5", SitemapID: 7, CustomID: "x"},
		{Account: "7", SitemapID: 5, CustomID: "x"},
	} {
		var c startOptions
		_, _, err := workflows.StartRunSitemap(t.Context(), &c, "queue", workflows.RunSitemapInput{RunSitemapInput: in})
		require.ErrorContains(t, err, "started")
		require.NotContains(t, of, c.last.ID)
		of[c.last.ID] = in
	}
	require.Contains(t, of, "run-sitemap-5-x", "as in earlier builds")
}
