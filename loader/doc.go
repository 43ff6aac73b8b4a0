// Package loader does everything that needs privilege: it loads the metering
// programs, attaches them to interfaces, and says what this machine can do.
// Reading the flows needs none of it, and is package userspace; the two meet at
// a bpf.Handles.
//
// Links, programs and maps end with the process, however it ends, unless
// Options.Pin says where they are to stay.
package loader
