// Package workflows contains the workflows of an import and their interface: names,
// workflow IDs, inputs, signals, queries and results. It does no I/O; the steps are in
// package activities.
package workflows
