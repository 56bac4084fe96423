// Package chaos breaks what scrapehaul depends on while it imports, and looks at
// what is left. It has tests only; docs/reliability.md is what they observed.
package chaos
