package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/klauspost/compress/zstd"
)

// A packet is one captured frame.
type packet struct {
	at     time.Duration // since epoch
	data   []byte
	length int // original length; 0 is len(data)
	iface  int // pcapng only
}

func (p packet) info() gopacket.CaptureInfo {
	return gopacket.CaptureInfo{
		Timestamp: epoch.Add(p.at), CaptureLength: len(p.data),
		Length: max(p.length, len(p.data)), InterfaceIndex: p.iface,
	}
}

var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Link types by their numbers in files; gopacket's type holds no more than 255.
const (
	linkNull     = 0
	linkEthernet = 1
	linkPPP      = 9
	linkRaw      = 101
	linkHDLC     = 104
	linkWiFi     = 105
	linkLoop     = 108
	linkSLL      = 113
	linkRadiotap = 127
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

const snapLength = 262144

// at spreads frames over time, a millisecond apart.
func at(frames ...[]byte) []packet {
	packets := make([]packet, len(frames))
	for i, f := range frames {
		packets[i] = packet{at: time.Duration(i) * time.Millisecond, data: f}
	}
	return packets
}

// writePcap writes with gopacket, and the link type over it.
func writePcap(new func(*bytes.Buffer) *pcapgo.Writer, linkType uint32, packets []packet) ([]byte, error) {
	var b bytes.Buffer
	w := new(&b)
	if err := w.WriteFileHeader(snapLength, layers.LinkTypeEthernet); err != nil {
		return nil, err
	}
	for _, p := range packets {
		if err := w.WritePacket(p.info(), p.data); err != nil {
			return nil, err
		}
	}
	binary.LittleEndian.PutUint32(b.Bytes()[20:], linkType)
	return b.Bytes(), nil
}

func pcapOf(linkType uint32) func([]packet) ([]byte, error) {
	return func(packets []packet) ([]byte, error) {
		return writePcap(func(b *bytes.Buffer) *pcapgo.Writer { return pcapgo.NewWriter(b) }, linkType, packets)
	}
}

func pcapNanos(packets []packet) ([]byte, error) {
	return writePcap(func(b *bytes.Buffer) *pcapgo.Writer { return pcapgo.NewWriterNanos(b) }, linkEthernet, packets)
}

// pcapBigEndian is by hand: gopacket writes little-endian only.
func pcapBigEndian(packets []packet) ([]byte, error) {
	b := binary.BigEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = binary.BigEndian.AppendUint32(b, 2<<16|4)
	b = append(b, make([]byte, 8)...)
	b = binary.BigEndian.AppendUint32(b, snapLength)
	b = binary.BigEndian.AppendUint32(b, linkEthernet)
	for _, p := range packets {
		t := p.info().Timestamp
		b = binary.BigEndian.AppendUint32(b, uint32(t.Unix()))
		b = binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()/1000))
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.data)))
		b = binary.BigEndian.AppendUint32(b, uint32(p.info().Length))
		b = append(b, p.data...)
	}
	return b, nil
}

// pcapng has two interfaces: 0 is Ethernet, 1 raw IP.
func pcapng(packets []packet) ([]byte, error) {
	var b bytes.Buffer
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "weir corner"}}
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{Name: "eth0", LinkType: layers.LinkTypeEthernet}, options)
	if err != nil {
		return nil, err
	}
	if _, err := w.AddInterface(pcapgo.NgInterface{Name: "tun0", LinkType: linkRaw}); err != nil {
		return nil, err
	}
	for _, p := range packets {
		if err := w.WritePacket(p.info(), p.data); err != nil {
			return nil, err
		}
	}
	err = w.Flush()
	return b.Bytes(), err
}

func gzipped(packets []packet) ([]byte, error) {
	plain, err := pcapOf(linkEthernet)(packets)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

func zstandard(packets []packet) ([]byte, error) {
	plain, err := pcapOf(linkEthernet)(packets)
	if err != nil {
		return nil, err
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.EncodeAll(plain, nil), nil
}
