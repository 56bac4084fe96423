// Package storetest has no code: its tests keep the archive in servers that speak
// as S3, Google Cloud Storage and Azure Blob Storage do, with a worker that is
// built for all of them. The first two servers are tools of the module in servers,
// the third is the npm package in azurite: whoever embeds scrapehaul gets none.
package storetest
