package message

import "encoding/binary"

// An RTP is the header of a packet of media.
type RTP struct {
	PayloadType uint8 // RFC 3551 section 6
	SSRC        uint32
}

// ReadRTP reads a header (RFC 3550 section 5.1); false if it is none, or RTCP's.
// Two bits are all that tells RTP from other protocols: it takes a label as well.
func ReadRTP(b []byte) (RTP, bool) {
	if len(b) < 12 || b[0]>>6 != 2 || b[1] >= 192 && b[1] <= 223 {
		return RTP{}, false
	}
	return RTP{b[1] & 0x7f, binary.BigEndian.Uint32(b[8:])}, true
}
