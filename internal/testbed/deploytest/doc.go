// Package deploytest only has tests: they check the files that deploy scrapehaul against
// the programs they deploy and, with the program in schemas, against the tools that read
// them.
package deploytest
