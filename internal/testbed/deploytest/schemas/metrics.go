package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/VictoriaMetrics/metricsql"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// expression has the parts of a PromQL expression that are checked.
type expression struct {
	Selectors []selector
	// Grouped are the labels of by(…), Without those of without(…).
	Grouped, Without []string
}

// selector is a series selector.
type selector struct {
	Text    string
	Filters []metricsql.LabelFilter
}

// readPromQL parses the expressions in a JSON file.
func readPromQL(path string) (read []expression, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var texts []string
	if err := json.Unmarshal(content, &texts); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, text := range texts {
		parsed, err := metricsql.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		var e expression
		metricsql.VisitAll(parsed, func(part metricsql.Expr) {
			switch part := part.(type) {
			case *metricsql.MetricExpr:
				for _, filters := range part.LabelFilterss {
					alone := metricsql.MetricExpr{LabelFilterss: [][]metricsql.LabelFilter{filters}}
					e.Selectors = append(e.Selectors, selector{string(alone.AppendString(nil)), filters})
				}
			case *metricsql.AggrFuncExpr:
				if strings.EqualFold(part.Modifier.Op, "without") {
					e.Without = append(e.Without, part.Modifier.Args...)
				} else {
					e.Grouped = append(e.Grouped, part.Modifier.Args...)
				}
			}
		})
		read = append(read, e)
	}
	return read, nil
}

// readMetrics parses a process's metrics and returns the labels of its series; the name is
// the label __name__.
func readMetrics(path string) (series []map[string]string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(content)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			suffixes := []string{""}
			if family.GetType() == dto.MetricType_HISTOGRAM {
				suffixes = []string{"_bucket", "_sum", "_count"}
			}
			for _, suffix := range suffixes {
				labels := map[string]string{"__name__": name + suffix}
				if suffix == "_bucket" {
					labels["le"] = "+Inf"
				}
				for _, pair := range metric.GetLabel() {
					labels[pair.GetName()] = pair.GetValue()
				}
				series = append(series, labels)
			}
		}
	}
	return series, nil
}
