package userspace

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// FromGopacket makes a PacketSource of any gopacket data source (pcapgo.Reader,
// afpacket, pcap, …) whose frames are all of the given link type. A source that
// can reads without a copy. gopacket's own decoders are not used.
func FromGopacket(source gopacket.PacketDataSource, link layers.LinkType) PacketSource {
	read := source.ReadPacketData
	if z, ok := source.(gopacket.ZeroCopyPacketDataSource); ok {
		read = z.ZeroCopyReadPacketData
	}
	return &gopacketSource{read, uint32(link)}
}

type gopacketSource struct {
	read func() ([]byte, gopacket.CaptureInfo, error)
	link uint32
}

func (s *gopacketSource) ReadPacket(p *CapturedPacket) error {
	data, info, err := s.read()
	if err != nil {
		return err
	}
	*p = CapturedPacket{
		Data:     data,
		Length:   uint32(max(info.Length, len(data))),
		TimeNs:   uint64(info.Timestamp.UnixNano()),
		LinkType: s.link,
	}
	return nil
}
