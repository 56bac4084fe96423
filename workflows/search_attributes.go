package workflows

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Search attributes of imports, all of type Keyword. They are optional: workflows may set
// them only after they are registered in the namespace.
var (
	// scrapingJobStatusAttribute is the job's status in Web Scraper Cloud.
	scrapingJobStatusAttribute = temporal.NewSearchAttributeKeyKeyword("ScrapingJobStatus")
	// sitemapNameAttribute is the name of the job's sitemap.
	sitemapNameAttribute = temporal.NewSearchAttributeKeyKeyword("SitemapName")
	// customIDAttribute is the job's custom_id.
	customIDAttribute = temporal.NewSearchAttributeKeyKeyword("CustomId")
	// AccountAttribute is the account of Web Scraper Cloud that has the job. It may be
	// missing even if the others are registered: it is newer.
	AccountAttribute = temporal.NewSearchAttributeKeyKeyword("WebScraperAccount")
	// ImportStateAttribute is StepScrape while RunSitemap waits for the job's end, StepImport
	// until the import is published, then StepHold, or StepNeedsAttention. Each change adds
	// an event to the import's history. The workflow's status shows when an import has ended.
	ImportStateAttribute = temporal.NewSearchAttributeKeyKeyword("ImportState")
)

// stateIn returns the value of ImportStateAttribute in a step, "" when the import is done.
func stateIn(step Step) Step {
	switch step {
	case StepScrape, StepNeedsAttention:
		return step
	case StepDownload, StepImport:
		return StepImport
	case StepHold, StepDelete:
		return StepHold
	}
	return ""
}

// searchAttributes returns those of an import, as far as the job is known.
func (s Settings) searchAttributes(job Notification, state Step) []temporal.SearchAttributeUpdate {
	updates := []temporal.SearchAttributeUpdate{ImportStateAttribute.ValueSet(string(state))}
	if s.AccountAttribute && job.Account != "" {
		updates = append(updates, AccountAttribute.ValueSet(job.Account))
	}
	for _, known := range []struct {
		attribute temporal.SearchAttributeKeyKeyword
		value     string
	}{
		{scrapingJobStatusAttribute, job.Status}, {sitemapNameAttribute, job.SitemapName}, {customIDAttribute, job.CustomID},
	} {
		if known.value != "" {
			updates = append(updates, known.attribute.ValueSet(truncate(known.value, maxKeyword)))
		}
	}
	return updates
}

// listedAs returns the search attributes and the memo that an import starts with.
func (s Settings) listedAs(job Notification, state Step) (attributes temporal.SearchAttributes, memo map[string]any) {
	if s.SearchAttributes {
		attributes = temporal.NewSearchAttributes(s.searchAttributes(job, state)...)
	}
	if sink.IsNamed(job.Account) {
		memo = map[string]any{accountMemo: job.Account}
	}
	return attributes, memo
}

// maxKeyword is below the 255 characters that Temporal's visibility stores accept in a
// Keyword.
const maxKeyword = 250

// index updates the search attributes if the next step changes the state.
func (w *importScrapingJob) index(ctx workflow.Context, next Step) {
	state := stateIn(next)
	if !w.settings.SearchAttributes || state == "" || state == stateIn(w.step) {
		return
	}
	err := workflow.UpsertTypedSearchAttributes(ctx, w.settings.searchAttributes(Notification{
		Account: w.account, Status: w.job.Status, SitemapName: w.job.SitemapName, CustomID: w.job.CustomID,
	}, state)...)
	if err != nil {
		w.logger.Warn("Updating the search attributes failed", "state", state, "error", err)
	}
}

// SearchAttributes returns all search attributes of imports.
func SearchAttributes() []temporal.SearchAttributeKeyKeyword {
	return []temporal.SearchAttributeKeyKeyword{
		scrapingJobStatusAttribute, sitemapNameAttribute, customIDAttribute, ImportStateAttribute, AccountAttribute,
	}
}

// MissingSearchAttributes returns the names of those that are not registered as Keywords in
// the namespace; see [Settings.UseSearchAttributes].
func MissingSearchAttributes(ctx context.Context, c client.Client, namespace string) (missing []string, err error) {
	registered, err := RegisteredSearchAttributes(ctx, c, namespace)
	if err != nil {
		return nil, err
	}
	for _, attribute := range SearchAttributes() {
		if registered[attribute.GetName()] != attribute.GetValueType() {
			missing = append(missing, attribute.GetName())
		}
	}
	return missing, nil
}

// RegisteredSearchAttributes returns the types of the namespace's custom search attributes
// by name. If Temporal does not list them, as on Temporal Cloud, it returns those of imports
// that queries accept, and assumes their type.
func RegisteredSearchAttributes(ctx context.Context, c client.Client, namespace string) (map[string]enumspb.IndexedValueType, error) {
	listed, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err == nil {
		return listed.GetCustomAttributes(), nil
	}
	if _, unavailable := errors.AsType[*serviceerror.Unavailable](err); unavailable {
		return nil, fmt.Errorf("listing the search attributes of namespace %s: %w", namespace, err)
	}
	found := map[string]enumspb.IndexedValueType{}
	for _, attribute := range SearchAttributes() {
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: attribute.GetName() + " = 'none'"})
		if _, unknown := errors.AsType[*serviceerror.InvalidArgument](err); unknown {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("finding workflows by search attribute %s in namespace %s: %w", attribute.GetName(), namespace, err)
		}
		found[attribute.GetName()] = attribute.GetValueType()
	}
	return found, nil
}
