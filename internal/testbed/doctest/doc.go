// Package doctest holds the pages to what they describe: their commands and
// statements are executed, their examples compared with compiled code, their
// lists with what they are lists of.
package doctest
