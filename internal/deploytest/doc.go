// Package deploytest has no code: its tests hold the files that deploy
// scrapehaul against the programs they deploy.
package deploytest
