// Package operations has the cases of package chaos about notifications, signals, limits,
// accounts and operators. It contains only tests.
package operations
