// Package pcapfile reads packets from capture files: pcap and pcapng, either
// byte order, plain or compressed with gzip or zstd.
//
// It is strict. A capture ends cleanly only where a record ends; anything else
// is an [*Error] that says at which byte and why, after every packet before it
// has been handed out. No length in a file is believed before the bytes are
// there, so memory is bounded by the largest record present (16 MiB), the
// read buffer (1 MiB) and the window of the decompressor (32 MiB).
//
// Formats: draft-ietf-opsawg-pcap (with the nanosecond and Kuznetsov's
// "modified" magics, versions 2.0 to 2.4 and DG/UX's 543.0, as libpcap reads
// them) and draft-ietf-opsawg-pcapng (versions 1.0 and 1.2).
package pcapfile
