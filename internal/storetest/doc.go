// Package storetest has no code: its tests keep the archive in servers that speak
// as S3, Google Cloud Storage and Azure Blob Storage do, with a worker that is
// built for all of them. The servers are those of the modules in servers, and of
// the npm package in azurite.
package storetest
