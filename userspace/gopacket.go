package userspace

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// FromGopacket makes a PacketSource of any gopacket data source (pcapgo.Reader,
// afpacket, pcap, …) whose frames are of the given link type. gopacket's own
// decoders are not used.
func FromGopacket(source gopacket.PacketDataSource, link layers.LinkType) PacketSource {
	return &gopacketSource{source, uint32(link)}
}

type gopacketSource struct {
	source gopacket.PacketDataSource
	link   uint32
}

func (s *gopacketSource) ReadPacket(p *CapturedPacket) error {
	data, info, err := s.source.ReadPacketData()
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
