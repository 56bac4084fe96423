// Package contract holds nothing but a test: a client that nobody here wrote,
// the vendor's for Node.js (@webscraperio/api-client-nodejs), calls the
// stand-in of package webscrapertest with every one of its methods but those
// of sitemaps, and reads its downloads. It and the client of package webscraper must get the same
// answers from it, with the same requests; where the vendor's client is known
// to be wrong, a test shows ours right on the same input.
//
// Its version is pinned in package.json, and it is a dependency of this test
// alone. The test installs it with npm when it is not there; without Node.js
// and npm it is skipped, and says so.
package contract
