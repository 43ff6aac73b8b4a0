package userspace_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/decode"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// captureFolders are read where they are there: the project's own always, the
// reference's beside a checkout that has them.
var captureFolders = []string{"../testdata", "../../shared/captures"}

// captures lists every capture file below the folders.
func captures(tb testing.TB) (paths []string) {
	tb.Helper()
	for _, folder := range captureFolders {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) && folder != captureFolders[0] {
			continue
		}
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			base := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
			if ext := filepath.Ext(base); ext == ".pcap" || ext == ".pcapng" {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	if len(paths) == 0 {
		tb.Fatal("no captures: testdata/ is empty")
	}
	return paths
}

// packets is a capture in memory, and a PacketSource.
type packets struct {
	list []userspace.CapturedPacket
	next int
}

func (p *packets) ReadPacket(out *userspace.CapturedPacket) error {
	if p.next == len(p.list) {
		return io.EOF
	}
	*out = p.list[p.next]
	p.next++
	return nil
}

// load reads a capture, up to its damage if it has any, by link type. Frames
// shorter than BPF_PROG_TEST_RUN takes are left out and counted.
func load(tb testing.TB, path string) (byLink map[uint32]*packets, short int) {
	tb.Helper()
	r, err := pcapfile.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	byLink = map[uint32]*packets{}
	for {
		var p userspace.CapturedPacket
		if err := r.ReadPacket(&p); err != nil {
			return byLink, short
		}
		if len(p.Data) < bpftest.MinFrame {
			short++
			continue
		}
		p.Data = bytes.Clone(p.Data)
		if byLink[p.LinkType] == nil {
			byLink[p.LinkType] = &packets{}
		}
		byLink[p.LinkType].list = append(byLink[p.LinkType].list, p)
	}
}

// frame is one frame of a capture, for messages that say which.
type frame struct {
	path   string
	number int
	*userspace.CapturedPacket
}

// TestF1DecodersAgreeOnEveryFrame gives each frame to the kernel's decoder and to
// Go's. An idle timeout shorter than the gaps makes every packet a record of its
// own, which shows all that was decoded; its sample shows where the IP header
// was found.
func TestF1DecodersAgreeOnEveryFrame(t *testing.T) {
	frames, total, short := map[uint32][]frame{}, 0, 0
	for _, path := range captures(t) {
		byLink, s := load(t, path)
		short += s
		for link, p := range byLink {
			for i := range p.list {
				frames[link] = append(frames[link], frame{path, i, &p.list[i]})
			}
			total += len(p.list)
		}
	}
	for link, list := range frames {
		for mode := bpf.Accounting(0); mode < 4; mode++ {
			decodersAgree(t, link, mode, list)
		}
	}
	t.Logf("%d frames in 4 accounting modes; %d shorter than %d octets could not be run", total, short, bpftest.MinFrame)
}

// decoded is what the Go decoder made of a frame.
type decoded struct {
	packet bpf.Packet
	frame
}

// batch is how many frames are run before the ring is emptied.
const batch = 4096

func decodersAgree(t *testing.T, link uint32, mode bpf.Accounting, list []frame) {
	t.Helper()
	k := bpftest.New(t, bpftest.Options{LinkType: link, Accounting: mode, Statistics: true, TCPStatistics: true, IPStatistics: true, Samples: 1, SampleOctets: 256, IdleNs: 1, MaxFlows: 8192})
	defer k.Close()
	d := decode.Decoder{Accounting: mode, DecodeTunnels: true, TCPStatistics: true, IPStatistics: true}
	var before bpf.LedgerCount
	now := uint64(1000)
	for part := range slices.Chunk(list, batch) {
		var want []decoded
		for _, f := range part {
			now += 1000
			if verdict, err := k.Frame(f.Data, now, f.Length); err != nil || verdict != 2 {
				t.Fatalf("%s frame %d: verdict %d, %v", f.path, f.number, verdict, err)
			}
			got := decoded{frame: f}
			status := d.Decode(f.Data, f.Length, link, &got.packet)
			after, err := k.Ledger()
			if err != nil {
				t.Fatal(err)
			}
			if kernel := statusOf(&before, &after); kernel != status {
				t.Errorf("%s frame %d, link type %d: kernel %s, Go %s", f.path, f.number, link, kernel, status)
			}
			before = after
			if status == bpf.WeirDecodeStatusSTATUS_OK {
				got.packet.TimeNs = now
				want = append(want, got)
			}
		}
		packetsAgree(t, k, want, now)
	}
}

// packetsAgree closes what is open in the kernel and compares it, packet by
// packet.
func packetsAgree(t *testing.T, k *bpftest.Meter, want []decoded, now uint64) {
	t.Helper()
	k.Records, k.Samples = nil, nil
	if err := k.Finish(now); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(k.Records, func(a, b bpf.Record) int { return cmp.Compare(userspace.FirstNs(&a), userspace.FirstNs(&b)) })
	if len(k.Records) != len(want) {
		t.Fatalf("%d records, want %d of one packet each", len(k.Records), len(want))
	}
	samples := map[uint64]bpftest.Sample{}
	for _, s := range k.Samples {
		samples[s.TimeNs] = s
	}
	for i := range want {
		packetAgrees(t, want[i].path, &k.Records[i], &want[i].packet, samples, want[i].Data)
	}
}

// statusOf finds which counter of the ledger one frame has moved.
func statusOf(before, after *bpf.LedgerCount) bpf.Status {
	for s := range after.IgnoredPackets {
		if after.IgnoredPackets[s] != before.IgnoredPackets[s] {
			return bpf.Status(s)
		}
	}
	return bpf.WeirDecodeStatusSTATUS_OK
}

func packetAgrees(t *testing.T, path string, r *bpf.Record, p *bpf.Packet, samples map[uint64]bpftest.Sample, data []byte) {
	t.Helper()
	d := &r.Dir[0]
	if r.Key != p.Key || r.SrcEnd != p.SrcEnd || r.Mac != p.Mac || d.FirstNs != p.TimeNs || d.Octets != uint64(p.Octets) ||
		r.IcmpType != p.IcmpType || r.IcmpCode != p.IcmpCode || r.Fragments != uint64(p.Fragment) ||
		r.OuterAddr != p.OuterAddr || r.OuterIpVersion != p.OuterIpVersion || r.Ip[0].TtlMax != p.Ttl || r.Ip[0].TosMax != p.Tos ||
		p.TcpFlags&4 == 0 && (r.Tcp[0].InitialWindow != p.TcpWindow || r.Tcp[0].Mss != p.TcpMss) {
		t.Errorf("%s: kernel %+v\nGo %+v", path, r, p)
	}
	for bit, n := range d.Flags {
		if n != uint64(p.TcpFlags>>bit&1) {
			t.Errorf("%s: TCP flag bit %d: kernel %d, Go's flags %#x", path, bit, n, p.TcpFlags)
		}
	}
	s, sampled := samples[p.TimeNs]
	if sampled != (p.Fragment == 0) {
		t.Errorf("%s: sampled %v, later fragment %d", path, sampled, p.Fragment)
	}
	if sampled && !bytes.Equal(s.Data, cut(data[p.L3Offset:], 256)) {
		t.Errorf("%s: the kernel found the IP header elsewhere than octet %d", path, p.L3Offset)
	}
}

func cut(b []byte, n int) []byte { return b[:min(len(b), n)] }

// TestF2MetersAgreeOnEveryCapture runs each capture with its own clock through the
// kernel's meter and Go's, and compares the records as bytes.
func TestF2MetersAgreeOnEveryCapture(t *testing.T) {
	for _, tcpEnd := range []bool{false, true} {
		flows := 0
		for _, path := range captures(t) {
			byLink, _ := load(t, path)
			for link, p := range byLink {
				flows += len(metersAgree(t, path, link, everything(tcpEnd), p))
			}
		}
		t.Logf("%d records identical, connections end: %v", flows, tcpEnd)
	}
}

// taken is a sample without the meter's own numbering of flows.
type taken struct {
	number  uint8
	reverse bool
	bare    [2]bool
	timeNs  uint64
	wire    uint32
	data    string
}

// everything is a configuration with all that a record can hold.
func everything(tcpEnd bool) userspace.Config {
	cfg := userspace.DefaultConfig()
	cfg.Statistics, cfg.SPLT, cfg.Samples, cfg.MaxFlows = true, bpf.SPLTMax, 20, 16384
	cfg.TCPStatistics, cfg.IPStatistics, cfg.TCPEnd = true, true, tcpEnd
	return cfg
}

// kernelMeter is the kernel's meter of a configuration.
func kernelMeter(t *testing.T, link uint32, cfg *userspace.Config) *bpftest.Meter {
	t.Helper()
	return bpftest.New(t, bpftest.Options{
		LinkType: link, Accounting: cfg.Accounting, Statistics: cfg.Statistics, TCPStatistics: cfg.TCPStatistics,
		IPStatistics: cfg.IPStatistics, TCPEnd: cfg.TCPEnd, SPLT: uint8(cfg.SPLT), Samples: uint8(cfg.Samples),
		SampleOctets: uint32(cfg.SampleOctets), NoTunnels: !cfg.DecodeTunnels, MaxFlows: uint32(cfg.MaxFlows),
		Set: map[string]any{bpf.WeirVarCfgIdleNs: uint64(cfg.IdleTimeout), bpf.WeirVarCfgActiveNs: uint64(cfg.ActiveTimeout)},
	})
}

// metersAgree returns the records that both meters made of the packets, in the
// order of their start.
func metersAgree(t *testing.T, path string, link uint32, cfg userspace.Config, p *packets) []bpf.Record {
	t.Helper()
	k := kernelMeter(t, link, &cfg)
	defer k.Close()
	meterInKernel(t, path, k, p.list)
	var kernelSamples []taken
	for _, s := range k.Samples {
		kernelSamples = append(kernelSamples, taken{s.Number, s.Direction == 1, [2]bool{s.Bare&1 != 0, s.Bare&2 != 0}, s.TimeNs, s.WireLength, string(s.Data)})
	}
	p.next = 0
	records, samples := goRecords(t, path, cfg, p)
	sortRecords(k.Records)
	sortRecords(records)
	if len(records) != len(k.Records) {
		t.Errorf("%s: kernel %d records, Go %d", path, len(k.Records), len(records))
		return nil
	}
	for i := range records {
		if !bytes.Equal(recordBytes(&records[i]), recordBytes(&k.Records[i])) {
			t.Errorf("%s record %d:\nkernel %+v\nGo     %+v", path, i, k.Records[i], records[i])
		}
	}
	if !slices.Equal(samples, kernelSamples) {
		t.Errorf("%s: kernel took %d samples, Go %d, or others", path, len(kernelSamples), len(samples))
	}
	return records
}

// meterInKernel shows the kernel's meter the packets at their own times. What an
// older packet finds depends on what the running clock has already closed: the
// Go meter looks before every packet, so here too.
func meterInKernel(t *testing.T, path string, k *bpftest.Meter, list []userspace.CapturedPacket) {
	t.Helper()
	clock := uint64(0)
	for i := range list {
		c := &list[i]
		if c.TimeNs < clock {
			if _, err := k.Sweep(bpf.Sweep{NowNs: clock}); err != nil {
				t.Fatal(err)
			}
		}
		clock = max(clock, c.TimeNs)
		if _, err := k.Frame(c.Data, c.TimeNs, c.Length); err != nil {
			t.Fatalf("%s frame %d: %v", path, i, err)
		}
	}
	if err := k.Finish(clock); err != nil {
		t.Fatal(err)
	}
}

func goRecords(t *testing.T, path string, cfg userspace.Config, p *packets) (records []bpf.Record, samples []taken) {
	t.Helper()
	m, err := userspace.NewMeter(p, userspace.WithConfig(cfg), userspace.WithSamples(func(s *userspace.Sample) {
		samples = append(samples, taken{s.Number, s.Reverse, [2]bool{s.BareForward, s.BareReverse}, s.TimeNs, s.WireLength, string(s.Packet)})
	}))
	if err != nil {
		t.Fatal(err)
	}
	for f, err := range m.Flows(context.Background()) {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		records = append(records, f.Record)
	}
	ledger := m.Ledger()
	if err := ledger.Check(); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return records, samples
}

// sortRecords orders records by what identifies them, and forgets the flow ids,
// which each meter counts in its own way.
func sortRecords(records []bpf.Record) {
	for i := range records {
		records[i].FlowId = 0
	}
	slices.SortFunc(records, func(a, b bpf.Record) int {
		return cmp.Or(cmp.Compare(userspace.FirstNs(&a), userspace.FirstNs(&b)), bytes.Compare(recordBytes(&a), recordBytes(&b)))
	})
}

func recordBytes(r *bpf.Record) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(r)), unsafe.Sizeof(*r))
}
