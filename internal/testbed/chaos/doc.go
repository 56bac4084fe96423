// Package chaos breaks scrapehaul's dependencies during imports and checks the results;
// docs/reliability.md lists what was observed. The cases are in packages failures and
// operations: go test gives each package ten minutes.
package chaos
