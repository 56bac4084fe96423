package main

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

func TestScrapePrices(t *testing.T) {
	env := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
	workflows.Register(env) // or there is nothing to mock
	env.OnWorkflow(workflows.RunSitemapName, mock.Anything, mock.Anything).Return(contract.RunSitemapResult{
		ScrapedJob: contract.ScrapedJob{SitemapName: "tablets", Outcome: contract.Published, Counts: sink.Counts{Records: 20}},
	}, nil)
	env.ExecuteWorkflow(ScrapePrices, int64(12))
	var says string
	require.NoError(t, env.GetWorkflowResult(&says))
	require.Equal(t, "20 prices of tablets", says)
}

func TestScrapePricesHasATimeLimit(t *testing.T) {
	env := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
	workflows.Register(env)
	env.OnWorkflow(workflows.RunSitemapName, mock.Anything, mock.Anything).Return(contract.RunSitemapResult{},
		temporal.NewNonRetryableApplicationError("sitemap 12 takes too long", contract.ErrorTimeLimit, nil))
	env.ExecuteWorkflow(ScrapePrices, int64(12))
	require.ErrorContains(t, env.GetWorkflowError(), "sitemap 12 takes too long")
}
