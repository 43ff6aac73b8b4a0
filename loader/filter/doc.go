// Package filter turns a pcap filter expression into what each home of the
// meter runs: a Go function over captured frames, and BPF instructions for the
// place that the metering programs keep for it. Both come from the same classic
// BPF program and decide alike; a load outside of the frame rejects it.
package filter
