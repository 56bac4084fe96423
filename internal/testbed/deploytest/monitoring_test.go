package deploytest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// query is an expression of the dashboard or of an alert, and the labels that its texts
// name.
type query struct {
	place, expr string
	named       []string
}

func TestDashboardAndAlertsQueryExistingMetrics(t *testing.T) {
	all := series(t, scrapeEverything(t))
	queries := append(dashboardQueries(t), alertQueries(t)...)
	require.Greater(t, len(queries), 30, "the queries were found")
	parsed := parse(t, queries)
	for i, q := range queries {
		require.NotEmpty(t, parsed[i].Selectors, "%s: %s", q.place, q.expr)
		require.Empty(t, parsed[i].Without, "%s: group by labels, not without them: %s", q.place, q.expr)
		labels := map[string]bool{"job": true, "instance": true} // by Prometheus
		for _, selector := range parsed[i].Selectors {
			matching := selector.match(all)
			require.NotEmpty(t, matching, "%s queries %s, which no process serves: %s", q.place, selector.Text, q.expr)
			for _, each := range matching {
				for label := range each.labels {
					labels[label] = true
				}
			}
		}
		for _, label := range append(parsed[i].Grouped, q.named...) {
			require.True(t, labels[label], "%s names the label %s, which none of its metrics has: %s", q.place, label, q.expr)
		}
	}
}

// A metric that nothing shows is not worth having.
func TestDashboardShowsAllOurMetrics(t *testing.T) {
	var shown strings.Builder
	for _, q := range dashboardQueries(t) {
		shown.WriteString(q.expr + "\n")
	}
	for _, name := range []string{
		"imports_total", "refused_jobs_total", "failed_lists_total", "problems_total", "records_total", "rejected_records_total", "unmapped_records_total", "removed_records_total", "bytes_total", "step_duration_seconds_bucket",
		"open_imports", "imports_needing_attention", "api_calls_remaining", "api_calls_limit", "notifications_total",
	} {
		require.Regexp(t, `scrapehaul_`+name+`\b`, shown.String())
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	names := map[string]bool{}
	for _, rule := range alerts(t) {
		require.Regexp(t, `^Scrapehaul[A-Z]\w+$`, rule.Alert)
		require.False(t, names[rule.Alert], "%s is defined twice", rule.Alert)
		names[rule.Alert] = true
		require.Contains(t, []string{"info", "warning", "critical"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.Greater(t, len(rule.Annotations["description"]), 80, rule.Alert)
	}
}

// placeholder is a label in a legend or an annotation: {{step}}, {{ $labels.kind }}.
var placeholder = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}`)

func labelsNamedIn(text string) (labels []string) {
	for _, found := range placeholder.FindAllStringSubmatch(text, -1) {
		labels = append(labels, found[1])
	}
	return labels
}

func dashboardQueries(t *testing.T) (queries []query) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "deploy", "grafana", "scrapehaul.json"))
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr   string `json:"expr"`
				Legend string `json:"legendFormat"`
			} `json:"targets"`
		} `json:"panels"`
	}
	require.NoError(t, json.Unmarshal(content, &dashboard))
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, query{
				place: "the panel " + panel.Title,
				expr:  strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"), // as Grafana does
				named: labelsNamedIn(target.Legend),
			})
		}
	}
	return queries
}

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	file, err := os.Open(filepath.Join(root, "deploy", "prometheus", "alerts.yaml"))
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	var content struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&content))
	for _, group := range content.Groups {
		all = append(all, group.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func alertQueries(t *testing.T) (queries []query) {
	t.Helper()
	for _, rule := range alerts(t) {
		texts := strings.Join(slices.Collect(maps.Values(rule.Annotations)), "\n")
		queries = append(queries, query{place: "the alert " + rule.Alert, expr: rule.Expr, named: labelsNamedIn(texts)})
	}
	return queries
}

// expression is a PromQL expression as the schemas program returns it.
type expression struct {
	Selectors []selector
	// Grouped are the labels of by(…), Without those of without(…).
	Grouped, Without []string
}

// selector is a series selector.
type selector struct {
	Text    string
	Filters []labelFilter
}

type labelFilter struct {
	Label, Value         string
	IsNegative, IsRegexp bool
}

func (s selector) match(all []sample) (matching []sample) {
	for _, each := range all {
		if !slices.ContainsFunc(s.Filters, func(filter labelFilter) bool { return !each.passes(filter) }) {
			matching = append(matching, each)
		}
	}
	return matching
}

// parse returns the expressions of the queries.
func parse(t *testing.T, queries []query) []expression {
	t.Helper()
	var texts []string
	for _, q := range queries {
		texts = append(texts, q.expr)
	}
	content, err := json.Marshal(texts)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "expressions.json")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	parsed := readAs[[]expression](t, "promql", path)
	require.Len(t, parsed, len(queries))
	return parsed
}

// sample is one line of /metrics; the name is the label __name__.
type sample struct {
	labels map[string]string
}

// passes treats a missing label as empty, like Prometheus.
func (s sample) passes(filter labelFilter) bool {
	value := s.labels[filter.Label]
	equal := value == filter.Value
	if filter.IsRegexp {
		equal = regexp.MustCompile(`^(?:` + filter.Value + `)$`).MatchString(value)
	}
	return equal != filter.IsNegative
}
