// Package deploytest has no code: its tests hold the files that deploy
// scrapehaul against the programs they deploy, and, with the program in schemas,
// against those that read them.
package deploytest
