// Package storetest only has tests: they keep the archive in servers with the APIs of S3,
// Google Cloud Storage and Azure Blob Storage, with a worker built for all of them. The
// first two servers are tools of the nested module servers, the third is the npm package in
// azurite: nobody who embeds scrapehaul gets them.
package storetest
