// Package flowgen generates packets of a known set of flows in the kernel: in
// front of a program under BPF_PROG_TEST_RUN, to measure it, or as live frames
// into an interface, to load it. What was sent follows from the number of
// packets (see [Sequence]), so that a meter's answer can be checked exactly.
//
// It needs CAP_BPF and CAP_NET_ADMIN, and CAP_SYS_ADMIN for live frames.
package flowgen
