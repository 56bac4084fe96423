// Package workflows contains the workflows of an import and their interface: names,
// workflow IDs, inputs, signals, queries and results. The steps are in
// package activities. Functions that take a client, such as [Notify] and
// [ChangeInstallation], call Temporal; nothing here calls Web Scraper Cloud or a database.
package workflows
