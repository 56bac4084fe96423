// Package workflows holds the durable process of an import and its contract:
// names, workflow ID, input, signals, query and result. It does no I/O of its
// own; the steps are in package activities.
package workflows
