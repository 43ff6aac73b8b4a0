// Package loader does everything that needs privilege: it loads the metering
// programs, attaches them to interfaces, and says what this machine can do.
// Reading the flows needs none of it, and is package userspace; the two meet at
// a bpf.Handles.
//
// Nothing is pinned: links, programs and maps end with the process, however it
// ends.
package loader
