// Package worker is weir's DPI process: the same binary, started again with a
// hidden command, without privileges, that reads samples from a socket, shows
// them to nDPI and answers with verdicts. C code that meets hostile octets runs
// in it and nowhere else.
//
// The package also holds the protocol, for the side that starts the process
// (package dpi). All numbers are little-endian; a frame is
//
//	length of the body (24 bits) | kind (8 bits) | body
//
// and the kinds are
//
//	Hello    →  version, dissections, flow bound, restarted     once, at first
//	Welcome  ←  version, release of nDPI, or why there is none  once, at first
//	Sample   →  flow, facts about the packet, the packet
//	Close    →  flow                  asks for the verdict, and forgets the flow
//	Label    ←  flow, its first packets, its verdict so far     once for a flow, if asked for
//	Done     ←  flow                  samples of it are of no more use
//	Verdict  ←  flow, the verdict     one for each Close, in their order
//	Ack      ←  octets read so far, counters   after each batch
//
// Neither side trusts the other: a frame that cannot be ends the session.
package worker
