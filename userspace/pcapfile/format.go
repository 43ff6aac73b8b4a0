package pcapfile

import (
	"encoding/binary"
	"io"
	"math/bits"
)

// readHeader finds out the format by the first octets and reads the file
// header, or the first section's.
func (r *Reader) readHeader() error {
	if !r.need(4) {
		return r.tooShort()
	}
	if name := compression(r.head()); name != "" {
		if err := r.decompress(name); err != nil {
			return err
		}
		if !r.need(4) {
			return r.tooShort()
		}
	}
	magic := binary.LittleEndian.Uint32(r.head())
	if magic == blockSection {
		r.ng = true
		return r.readSection(true)
	}
	if r.setMagic(magic) {
		return r.readPcapHeader()
	}
	r.bigEndian = true
	if r.setMagic(bits.ReverseBytes32(magic)) {
		return r.readPcapHeader()
	}
	return r.foreign()
}

func (r *Reader) head() []byte { return r.buf[r.pos:r.end] }

// tooShort is the error for an input without so much as a magic number.
func (r *Reader) tooShort() error {
	switch {
	case r.stop != io.EOF && r.compression != "":
		return r.brokenOff("")
	case r.stop != io.EOF:
		return cannotOpen(r.path, r.stop)
	case r.compression != "" && r.buffered() == 0:
		return r.notCapture("the %s data is empty; want a capture inside", r.compression)
	case r.buffered() == 0:
		return r.notCapture("the file is empty; want a pcap or pcapng capture")
	}
	return r.notCapture("not a capture, %d octets are too few for one", r.buffered())
}

// foreign is the error for an input that is something else.
func (r *Reader) foreign() error {
	for _, f := range foreignFormats {
		if len(r.head()) >= len(f.magic) && string(r.head()[:len(f.magic)]) == f.magic {
			return r.notCapture("%s, which is not read here; %s", f.what, f.advice)
		}
	}
	return r.notCapture("not a capture, it begins with % x; want pcap or pcapng, plain or in gzip or zstd", r.head()[:4])
}

// foreignFormats are those that users hand over in good faith.
var foreignFormats = []struct{ magic, what, advice string }{
	{"\xfd7zXZ", "xz-compressed", "decompress with xz -dc and read from standard input"},
	{"BZh", "bzip2-compressed", "decompress with bzip2 -dc and read from standard input"},
	{"\x04\x22\x4d\x18", "lz4-compressed", "decompress with lz4 -dc and read from standard input"},
	{"\x1f\x8b", "a gzip variant", "decompress it and read from standard input"},
	{"snoop\x00", "a snoop capture", "convert with editcap -F pcapng"},
	{"GMBU", "a Network Monitor capture", "convert with editcap -F pcapng"},
	{"RTSS", "a Network Monitor capture", "convert with editcap -F pcapng"},
}
