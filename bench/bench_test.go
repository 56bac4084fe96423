package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

// TestMain is the benchmark's program when that runs an activity in its own
// process.
func TestMain(m *testing.M) {
	if slices.Index(os.Args, "activity") == 1 {
		main()
	}
	os.Exit(m.Run())
}

func TestMedianAndPercentile(t *testing.T) {
	require.InDelta(t, 2, median([]float64{9, 1, 2}), 0)
	require.InDelta(t, 1.5, median([]float64{2, 1}), 0)
	require.InDelta(t, 7, median([]float64{7}), 0)
	values := make([]float64, 100)
	for i := range values {
		values[i] = float64(100 - i)
	}
	require.InDelta(t, 50, percentile(values, 50), 0)
	require.InDelta(t, 99, percentile(values, 99), 0)
	require.InDelta(t, 3, percentile([]float64{3}, 99), 0)
}

func TestJSONHasThePromisedKeys(t *testing.T) {
	fulltier.Needs(t, "Temporal and PostgreSQL servers")
	code, out, problems := programtest.Run("bench", new(commands), "--json", "--rounds", "1",
		"--records", "2000", "--requests", "20", "--jobs", "1", "import", "mapping", "read", "changes", "download", "end-to-end", "webhook")
	require.Equal(t, program.ExitOK, code, problems)
	var measured map[string]map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &measured), out)
	for _, key := range []string{
		"import.vs_psql_copy", "import.vs_parallel_copy", "import.vs_multi_insert", "import.vs_pgx_copy", "import.worker_rss_mib",
		"mapping.replace_job_vs_unmapped", "mapping.upsert_vs_unmapped", "mapping.vs_jsonb_upsert", "mapping.vs_csv_upsert", "mapping.vs_csv_copy",
		"mapping.vs_first_import", "mapping.vs_again",
		"mapping.rows_only.vs_jsonb_upsert", "mapping.rows_only.vs_csv_upsert", "mapping.rows_only.vs_csv_copy", "mapping.rows_only.vs_again",
		"read.view_vs_table", "read.column_vs_table", "read.filter_vs_table", "read.count_vs_table",
		"changes.seconds", "changes.vs_full_join",
		"download.vs_curl", "webhook.vs_signal_with_start", "end_to_end.history_events", "end_to_end.actions",
		"end_to_end.jobs_per_minute", "end_to_end.worker_cpu_ms", "end_to_end.postgresql_cpu_ms", "end_to_end.temporal_calls", "end_to_end.postgresql_round_trips",
	} {
		part, name, _ := strings.Cut(key, ".")
		values := measured[part]
		for of, rest, inner := strings.Cut(name, "."); inner; of, rest, inner = strings.Cut(name, ".") {
			values, name = values[of].(map[string]any), rest
		}
		if value := values[name]; value == nil {
			require.Contains(t, measured[part]["not_measured"], name, key)
		} else {
			require.Positive(t, value, key)
		}
	}
	require.Contains(t, problems, "we are", "the tables go to standard error")
}

func TestScaleHasThePromisedKeys(t *testing.T) {
	fulltier.Needs(t, "Temporal and PostgreSQL servers")
	code, out, problems := programtest.Run("bench", new(commands), "--json", "--rounds", "1",
		"--records", "200000", "--scale-jobs", "8", "--scale-records", "100", "--fair-jobs", "2", "scale")
	require.Equal(t, program.ExitOK, code, problems)
	var measured struct {
		Scale map[string]map[string]any `json:"scale"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &measured), out)
	for _, key := range []string{
		"workers_1.jobs_per_minute", "workers_2.jobs_per_minute", "workers_4.jobs_per_minute", "workers_4.busiest_share",
		"fair.median_vs_alone", "fair.last_vs_alone", "job.history_events", "job.state_transitions", "job.api_calls", "job.wal_bytes",
	} {
		about, name, _ := strings.Cut(key, ".")
		require.Positive(t, measured.Scale[about][name], key)
	}
	require.InDelta(t, 1, measured.Scale["workers_1"]["busiest_share"], 0, "one worker does it all")
	require.Less(t, measured.Scale["fair"]["large_done"], 1.0, "the small jobs are published before the large one")
}

func TestBudgetHasThePromisedKeys(t *testing.T) {
	fulltier.Needs(t, "Temporal and PostgreSQL servers")
	code, out, problems := programtest.Run("bench", new(commands), "--json", "--rounds", "1", "--budget-window", "5s", "budget")
	require.Equal(t, program.ExitOK, code, problems)
	var measured struct {
		Budget map[string]float64 `json:"budget"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &measured), out)
	for _, key := range []string{
		"one_deleted_s", "forty_published_s", "forty_deleted_s", "three_hundred_vs_floor", "calls_per_job", "one_history_events",
	} {
		require.Positive(t, measured.Budget[key], key)
	}
	require.Contains(t, measured.Budget, "refused")
	require.Contains(t, problems, "shortened to 5s, a 180th")
}

func TestRetentionHasThePromisedKeys(t *testing.T) {
	fulltier.Needs(t, "a PostgreSQL server")
	code, out, problems := programtest.Run("bench", new(commands), "--json", "--retention-records", "10", "retention")
	require.Equal(t, program.ExitOK, code, problems)
	var measured struct {
		Retention map[string]float64 `json:"retention"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &measured), out)
	for _, key := range []string{"kept_mb", "largest_vs_kept", "import_vs_second_month", "latest_vs_second_month", "count_vs_second_month"} {
		require.Positive(t, measured.Retention[key], key)
	}
}

func TestGrowthHasThePromisedKeys(t *testing.T) {
	fulltier.Needs(t, "Temporal and PostgreSQL servers")
	code, out, problems := programtest.Run("bench", new(commands), "--json", "--rounds", "1", "--growth-jobs", "2,3", "--growth-records", "100",
		"--growth-imports", "60", "--growth-open", "3", "growth")
	require.Equal(t, program.ExitOK, code, problems)
	var measured struct {
		Growth struct {
			Jobs2     map[string]float64 `json:"jobs_2"`
			Jobs3     map[string]float64 `json:"jobs_3"`
			Operators map[string]float64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &measured), out)
	for _, step := range growthSteps {
		require.Positive(t, measured.Growth.Jobs2[step.name+"_vs_empty"], step.title)
		require.Positive(t, measured.Growth.Jobs3[step.name+"_vs_empty"], step.title)
	}
	for _, of := range []string{"page", "page_history", "page_sitemap", "page_job", "list", "list_attention", "status"} {
		require.Positive(t, measured.Growth.Operators[of+"_seconds"], of)
	}
}

func TestUnknownPartIsRefused(t *testing.T) {
	code, _, problems := programtest.Run("bench", new(commands), "export", "--rounds", "0", "--fair-jobs", "0", "--budget-window", "0s")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "bench", problems, `there is no part "export"`, "--rounds is 0", "--fair-jobs is 0", "--budget-window is 0s")
}
