// Package sandbox takes away what a process does not need: the privileges of its
// user, files, and system calls.
//
// Go cannot change these for all threads of a process that uses cgo. They are
// inherited, however: a thread that was confined, and is never used for anything
// else, starts processes that are confined from their first instruction. That is
// [Thread] and [Confinement.Enter]. System calls can be taken from all threads at once, by a
// process that has come to the point where it needs them no more: [Calls.Limit].
package sandbox
