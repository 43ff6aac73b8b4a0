package userspace

// A CapturedPacket is one packet as a capture holds it.
type CapturedPacket struct {
	// Data is what was captured, from the link-layer header on. It belongs to
	// the PacketSource and is valid until the next ReadPacket.
	Data []byte
	// Length is the original length on the wire, at least len(Data).
	Length uint32
	// TimeNs is the capture time in nanoseconds since the Unix epoch.
	TimeNs uint64
	// LinkType is pcap's link type (LINKTYPE_*) of the interface.
	LinkType uint32
	// Interface names the interface where the capture says it, else empty.
	Interface string
}

// A PacketSource reads packets. ReadPacket fills in p and returns nil, or
// returns io.EOF at a clean end of input, or another error where the input is
// damaged; nothing follows an error.
type PacketSource interface {
	ReadPacket(p *CapturedPacket) error
}
