package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// capture writes a query over UDP, and its answer 20 ms later.
func capture(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "query.pcap")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1700000000, 0)
	write(t, w, at, packet(t, net.IP{10, 0, 0, 1}, net.IP{10, 0, 0, 2}, 5000, 53, 30))
	write(t, w, at.Add(20*time.Millisecond), packet(t, net.IP{10, 0, 0, 2}, net.IP{10, 0, 0, 1}, 53, 5000, 100))
	return path
}

func packet(t *testing.T, src, dst net.IP, sport, dport layers.UDPPort, payload int) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true},
		&layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src, DstIP: dst},
		&layers.UDP{SrcPort: sport, DstPort: dport},
		gopacket.Payload(make([]byte, payload)))
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func write(t *testing.T, w *pcapgo.Writer, at time.Time, data []byte) {
	t.Helper()
	info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: len(data)}
	if err := w.WritePacket(info, data); err != nil {
		t.Fatal(err)
	}
}

func TestExampleBuildsAndPrintsFlows(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gopacketmeter")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.Command(binary, capture(t)).CombinedOutput()
	want := "10.0.0.1:5000 > 10.0.0.2:53 protocol 17: 2 packets, 214 octets in 20ms\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\ngot  %swant %s", err, out, want)
	}
}

func TestDamagedFileIsReportedAfterItsFlows(t *testing.T) {
	path := capture(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-120], 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(path, &out); err == nil || !strings.Contains(out.String(), ": 1 packets, 72 octets") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
