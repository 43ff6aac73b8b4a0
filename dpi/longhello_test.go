package dpi_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
)

// longHello is a client's hello of 9,000 octets and more, most of which is ALPN.
func longHello(t *testing.T) []byte {
	t.Helper()
	var protocols []string
	for i := range 50 {
		protocols = append(protocols, fmt.Sprintf("%0180d", i))
	}
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		// It ends with the pipe: there is no server.
		_ = tls.Client(client, &tls.Config{ServerName: "www.weir.example", NextProtos: protocols}).Handshake()
		client.Close()
	}()
	header := make([]byte, 5)
	if _, err := server.Read(header); err != nil {
		t.Fatal(err)
	}
	hello := make([]byte, binary.BigEndian.Uint16(header[3:]))
	for n := 0; n < len(hello); {
		m, err := server.Read(hello[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	return append(header, hello...)
}

// unsegmented is a frame with a TCP segment as a host hands it over: longer than
// any network's.
func unsegmented(flags byte, sequence uint32, payload []byte) []byte {
	b := make([]byte, 14+20+20, 14+20+20+len(payload))
	b[12] = 8
	ip, segment := b[14:34], b[34:54]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(ip[2:], uint16(40+len(payload)))
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(segment, 40000)
	binary.BigEndian.PutUint16(segment[2:], 443)
	binary.BigEndian.PutUint32(segment[4:], sequence)
	segment[12], segment[13] = 5<<4, flags
	return append(b, payload...)
}

// TestAHelloLongerThanAFrameIsReadInBothHomes has a hello in one frame, as on its
// way out of a host or merged on its way in: its name is at the end.
func TestAHelloLongerThanAFrameIsReadInBothHomes(t *testing.T) {
	needNDPI(t)
	hello := longHello(t)
	var list []userspace.CapturedPacket
	for i, frame := range [][]byte{unsegmented(2, 1000, nil), unsegmented(0x18, 1001, hello)} {
		list = append(list, userspace.CapturedPacket{LinkType: 1, TimeNs: uint64(1+i) * 1e9, Length: uint32(len(frame)), Data: bytes.Clone(frame)})
	}
	labels := func(meter func(userspace.SampleFunc) userspace.Source) (labelsByFlow, *userspace.L7) {
		w := start(t, dpi.Options{Details: true})
		src := w.Wrap(meter(w.Sample), nil)
		var found labelsByFlow
		var l7 *userspace.L7
		for f, err := range src.Flows(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			l7 = f.L7
			found.add(f)
		}
		return found, l7
	}
	want, l7 := labels(func(s userspace.SampleFunc) userspace.Source { return fileMeter(t, list, s) })
	if len(hello) < 9000 || l7 == nil || l7.RequestedServerName != "www.weir.example" || l7.Details.JA4 == "" {
		t.Errorf("of a hello of %d octets is read %+v", len(hello), l7)
	}
	got, _ := labels(func(s userspace.SampleFunc) userspace.Source { return objects{}.meter(t, 1, list, s) })
	got.equal(t, "kernel", want)
}
