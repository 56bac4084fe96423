package deploytest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const kubernetes = root + "/deploy/kubernetes"

// readBySchema reads a file or folder like the tool that it is for, and returns the result
// as JSON, or the problems.
func readBySchema(t *testing.T, what, path string) (read []byte, problems string, ok bool) {
	t.Helper()
	var out, errs bytes.Buffer
	command := exec.Command(programFile(t, "schemas"), what, path)
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	return out.Bytes(), errs.String(), err == nil
}

// readAs reads a file like the tool that it is for.
func readAs[T any](t *testing.T, what, path string) (read T) {
	t.Helper()
	output, problems, ok := readBySchema(t, what, path)
	require.True(t, ok, problems)
	require.NoError(t, json.Unmarshal(output, &read))
	return read
}

func TestDockerfileIsValid(t *testing.T) {
	stages, problems, ok := readBySchema(t, "dockerfile", filepath.Join(root, "Dockerfile"))
	require.True(t, ok, problems)
	require.Contains(t, string(stages), `"Name":"scrapehaul"`)
}

// Shows that the check finds problems.
func TestInvalidDockerfilesAreRejected(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	for name, c := range map[string]struct{ old, new, want string }{
		"instruction": {"EXPOSE", "EXPORT", "unknown instruction: EXPORT"},
		"flag":        {"--interval", "--every", "unknown flag: --every"},
		"stage":       {"--from=build-cloud", "--from=build-clouds", "there is no such stage"},
		"lint":        {" AS cloud", " as cloud", "FromAsCasing"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "Dockerfile")
			require.Contains(t, string(content), c.old)
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(content), c.old, c.new)), 0o600))
			_, problems, ok := readBySchema(t, "dockerfile", path)
			require.False(t, ok)
			require.Contains(t, problems, c.want)
		})
	}
}

func TestManifestsAreValid(t *testing.T) {
	_, problems, ok := readBySchema(t, "kubernetes", kubernetes)
	require.True(t, ok, problems)
}

// Shows that the check finds problems.
func TestInvalidManifestsAreRejected(t *testing.T) {
	for name, c := range map[string]struct{ file, old, new, want string }{
		"field":          {"worker.yaml", "podManagementPolicy", "podManagment", `unknown field "spec.podManagment"`},
		"field twice":    {"starter.yaml", "  replicas: 2", "  replicas: 2\n  replicas: 3", `"replicas"`},
		"kind":           {"starter.yaml", "kind: Deployment", "kind: Deploiment", "Deploiment"},
		"type":           {"worker.yaml", "periodSeconds: 20", "periodSeconds: often", "periodSeconds"},
		"kustomization":  {"kustomization.yaml", "images:", "image:", `unknown field "image"`},
		"missing file":   {"kustomization.yaml", "- setup.yaml", "- jobs.yaml", "jobs.yaml"},
		"name":           {"worker.yaml", "name: scrapehaul-worker\n", "name: Worker\n", "lower case"},
		"selector":       {"starter.yaml", "    matchLabels:\n      app.kubernetes.io/component: starter\n  strategy", "    matchLabels:\n      app.kubernetes.io/component: worker\n  strategy", "its own pods only"},
		"service's pods": {"starter.yaml", "  selector:\n    app.kubernetes.io/component: starter\n", "  selector:\n    app.kubernetes.io/component: server\n", "selects no pods"},
		"service's port": {"starter.yaml", "targetPort: http", "targetPort: web", "do not have its port"},
		"headless":       {"worker.yaml", "  clusterIP: None\n", "", "headless"},
		"budget's pods":  {"worker.yaml", "  unhealthyPodEvictionPolicy: AlwaysAllow\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: worker", "  selector:\n    matchLabels:\n      app.kubernetes.io/component: importer", "0 workloads"},
		"budget":         {"worker.yaml", "maxUnavailable: 1\n  unhealthy", "maxUnavailable: 2\n  unhealthy", "less than the 2 replicas"},
		"probe":          {"worker.yaml", "httpGet: {path: /readyz, port: health}", "httpGet: {path: /readyz, port: http}", "a probe"},
		"mount":          {"worker.yaml", "            - name: spool\n              mountPath", "            - name: files\n              mountPath", "there is no volume files"},
		"settings":       {"kustomization.yaml", "  - name: scrapehaul\n    envs", "  - name: settings\n    envs", "existing ConfigMap"},
		"scraping":       {"worker.yaml", `prometheus.io/port: "8081"`, `prometheus.io/port: "9090"`, "no container has"},
		"root":           {"worker.yaml", "        runAsNonRoot: true\n        runAsUser: 65532\n", "        runAsUser: 0\n", "runAsNonRoot"},
		"capabilities":   {"starter.yaml", "drop: [ALL]", "add: [NET_ADMIN]", "NET_ADMIN"},
		"resources":      {"worker.yaml", "limits: {memory: 512Mi}", "limits: {memory: 5Mi}", "below the request"},
		"namespace":      {"kustomization.yaml", "namespace: scrapehaul", "namespace: importers", "none of these objects"},
		"policy's pods":  {"components/network-policy/network-policy.yaml", "      app.kubernetes.io/component: setup", "      app.kubernetes.io/component: importer", "0 workloads"},
		"policy's port":  {"components/network-policy/network-policy.yaml", "port: health", "port: metrics", "do not have its port metrics"},
		"policy's field": {"components/network-policy/network-policy.yaml", "policyTypes:", "policies:", `unknown field "spec.policies"`},
		"monitor's pods": {"components/pod-monitor/pod-monitor.yaml", "      app.kubernetes.io/component: worker", "      app.kubernetes.io/component: importer", "0 workloads"},
		"monitor's port": {"components/pod-monitor/pod-monitor.yaml", "port: health", "port: metrics", "do not have its port"},
		"monitor's key":  {"components/pod-monitor/pod-monitor.yaml", "podMetricsEndpoints:", "endpoints:", `unknown field "spec.endpoints"`},
		"scaled twice":   {"components/autoscaling/kustomization.yaml", "op: remove, path: /spec/replicas", "op: replace, path: /spec/replicas, value: 3", "set its replicas"},
		"scaled target":  {"components/autoscaling/autoscaler.yaml", "kind: Deployment", "kind: ReplicaSet", "there is no ReplicaSet"},
		"scaled to less": {"components/autoscaling/autoscaler.yaml", "minReplicas: 2", "minReplicas: 1", "less than the 1 replicas"},
		"component":      {"components/autoscaling/kustomization.yaml", "resources:", "resource:", `unknown field "resource"`},
		"backend":        {"ingress.yaml", "name: scrapehaul-starter\n                port", "name: scrapehaul\n                port", "there is no Service scrapehaul"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "kubernetes")
			require.NoError(t, os.CopyFS(dir, os.DirFS(kubernetes)))
			path := filepath.Join(dir, c.file)
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(content), c.old)
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(content), c.old, c.new)), 0o600))
			_, problems, ok := readBySchema(t, "kubernetes", dir)
			require.False(t, ok)
			require.Contains(t, problems, c.want)
		})
	}
}
