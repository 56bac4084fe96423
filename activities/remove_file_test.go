package activities_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
)

func TestRemoveFileRemovesPartialDownloadsToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	others := []string{"scrapingjob-1-run-1.jsonl", "scrapingjob-1-run-10.json", "scrapingjob-11-run-1.json.partial-1"}
	for _, name := range append(others, file, file+".partial-123", file+".partial-456") {
		w.write(name, "{}")
	}
	for range 2 { // a missing file is not an error
		_, err := run[any](w, "RemoveFile", activities.RemoveFileInput{File: file})
		require.NoError(t, err)
		require.ElementsMatch(t, others, w.files())
	}
}

func TestRemoveFileTakesNamesLiterally(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a.partial-1", "{}")
	for _, name := range []string{"*", "?", "[a]"} {
		_, err := run[any](w, "RemoveFile", activities.RemoveFileInput{File: name})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"a.partial-1"}, w.files())
}
