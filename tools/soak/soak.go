// Package soak tells tests that have a short form and a full one which to run.
package soak

import "os"

// Variable is set in the environment of tests that are to run in full, as make soak
// does.
const Variable = "WEIR_SOAK"

// Full tells whether tests run in full.
func Full() bool { return os.Getenv(Variable) != "" }

// Of chooses between what the short form of a test wants, and the full one.
func Of[T any](short, full T) T {
	if Full() {
		return full
	}
	return short
}
