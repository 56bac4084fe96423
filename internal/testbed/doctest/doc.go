// Package doctest tests the pages: it executes their commands and statements, and
// compares their examples with compiled code and their lists with what they list.
package doctest
