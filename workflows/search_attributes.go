package workflows

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// Search attributes by which imports can be found in Temporal, all of type
// Keyword. They are optional: a namespace has to have them registered before a
// workflow may set them.
var (
	// ScrapingJobStatusAttribute is the job's status in Web Scraper Cloud.
	ScrapingJobStatusAttribute = temporal.NewSearchAttributeKeyKeyword("ScrapingJobStatus")
	// SitemapNameAttribute is the name of the job's sitemap.
	SitemapNameAttribute = temporal.NewSearchAttributeKeyKeyword("SitemapName")
	// CustomIDAttribute is the job's custom_id.
	CustomIDAttribute = temporal.NewSearchAttributeKeyKeyword("CustomId")
	// ImportStateAttribute is the import's Step.
	ImportStateAttribute = temporal.NewSearchAttributeKeyKeyword("ImportState")
)

// SearchAttributes are all search attributes of imports.
func SearchAttributes() []temporal.SearchAttributeKeyKeyword {
	return []temporal.SearchAttributeKeyKeyword{
		ScrapingJobStatusAttribute, SitemapNameAttribute, CustomIDAttribute, ImportStateAttribute,
	}
}

// SearchAttributesRegistered says whether the namespace has all search
// attributes of imports, each as a Keyword, so that a workflow may set them.
func SearchAttributesRegistered(ctx context.Context, c client.Client, namespace string) (bool, error) {
	registered, err := RegisteredSearchAttributes(ctx, c, namespace)
	if err != nil {
		return false, err
	}
	for _, attribute := range SearchAttributes() {
		if registered[attribute.GetName()] != enumspb.INDEXED_VALUE_TYPE_KEYWORD {
			return false, nil
		}
	}
	return true, nil
}

// RegisteredSearchAttributes returns the types of the namespace's own search
// attributes by their names.
func RegisteredSearchAttributes(ctx context.Context, c client.Client, namespace string) (map[string]enumspb.IndexedValueType, error) {
	listed, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, fmt.Errorf("listing the search attributes of namespace %s: %w", namespace, err)
	}
	return listed.GetCustomAttributes(), nil
}
