// Package chaos breaks scrapehaul's dependencies during imports and checks the results. It
// contains only tests; docs/reliability.md lists what they observed.
package chaos
