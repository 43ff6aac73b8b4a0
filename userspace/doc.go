// Package userspace is weir's public API: it turns what the metering programs
// send, or what a capture file holds, into flows.
//
// A [Consumer] reads a running meter's ring buffer, a [Meter] reads packets.
// Both are a [Source]: the same [Flow] and the same [Ledger] come out of both.
//
//	for flow, err := range src.Flows(ctx) {
//		...
//	}
//	return src.Ledger().Check()
package userspace
