// Package uitest tests what an operator sees and does in the Temporal UI, in a
// real browser.
package uitest
