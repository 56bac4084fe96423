package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
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

func TestWorkflowIDOfARunFitsIntoEveryStore(t *testing.T) {
	for n := range 300 {
		var c startOptions
		_, _, err := workflows.StartRunSitemap(t.Context(), &c, "queue", workflows.RunSitemapInput{RunSitemapInput: contract.RunSitemapInput{
			Account: strings.Repeat("a", 40), SitemapID: math.MaxInt64, CustomID: strings.Repeat("x", n),
		}})
		require.ErrorContains(t, err, "started")
		require.LessOrEqual(t, len(c.last.ID), 255)
	}
}

func TestSignalsNeedTheIDOfAJob(t *testing.T) {
	for _, id := range []int64{0, -1} {
		job := workflows.Notification{ScrapingJobID: id}
		for name, send := range map[string]func(context.Context, client.Client, string, workflows.Notification, workflows.Settings) (client.WorkflowRun, error){
			"Notify": workflows.Notify, "Reimport": workflows.Reimport,
		} {
			temporal := &signals{}
			_, err := send(t.Context(), temporal, "queue", job, workflows.Settings{})
			require.ErrorContains(t, err, fmt.Sprintf("scrapingjob_id is %d: want at least 1", id), name)
			require.Empty(t, temporal.sent)
		}
	}
}
