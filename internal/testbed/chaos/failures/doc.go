// Package failures has the cases of package chaos in which a process, a server, a disk or a
// response fails. It contains only tests.
package failures
