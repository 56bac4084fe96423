// Package fulltier keeps tests that need more than Go out of the fast tier, go test -short.
package fulltier

import "testing"

// Needs skips the test in the fast tier, with what it needs as the reason. In the full tier,
// go test, it does nothing.
func Needs(t testing.TB, what string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("not in the fast tier (-short): needs %s", what)
	}
}
