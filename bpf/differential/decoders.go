package differential

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/userspace/decode"
)

// Batch is how many frames are run between two looks at what came out.
const Batch = 4096

// DecoderOptions are those under which the kernel hands over each packet as it
// decoded it, all of it: the table has no room but for one flow, so that every
// packet of another is sent as an event of its own.
func DecoderOptions(link uint32, mode bpf.Accounting, noTunnels bool) bpftest.Options {
	return bpftest.Options{
		LinkType: link, Accounting: mode, NoTunnels: noTunnels, TCPStatistics: true, IPStatistics: true,
		MaxFlows: 1, RingOctets: 2 << 20,
	}
}

// Decoders are the kernel's and Go's.
type Decoders struct {
	kernel  *bpftest.Meter
	golang  decode.Decoder
	options bpftest.Options
	before  bpf.LedgerCount
	// stranger has the table's only place.
	stranger bpf.Key
	total    bpf.LedgerCount
}

// NewDecoders loads the object under DecoderOptions. The caller closes them.
func NewDecoders(o bpftest.Options) (*Decoders, error) {
	m, err := bpftest.Load(o)
	if err != nil {
		return nil, err
	}
	d := &Decoders{kernel: m, options: o, golang: Decoder(o)}
	if err := d.occupy(); err != nil {
		m.Close()
		return nil, err
	}
	return d, nil
}

// Decoder is the Go decoder under the options.
func Decoder(o bpftest.Options) decode.Decoder {
	return decode.Decoder{Accounting: o.Accounting, DecodeTunnels: !o.NoTunnels, TCPStatistics: o.TCPStatistics, IPStatistics: o.IPStatistics}
}

// Close unloads the object.
func (d *Decoders) Close() { d.kernel.Close() }

// Settle tells whether the kernel's ledger closes.
func (d *Decoders) Settle() error {
	l, err := d.kernel.Settle()
	if err != nil {
		return fmt.Errorf("the kernel's ledger does not close: %w\n%+v", err, l)
	}
	return nil
}

// Counted is what the kernel's ledger has counted of the frames.
func (d *Decoders) Counted() bpf.LedgerCount { return d.total }

// occupy gives the table's place to a flow that no frame will be of. Where the
// link type is not known there is no flow at all.
func (d *Decoders) occupy() error {
	f := flow{version: 4, protocol: 250, ends: [2]byte{250, 251}}
	if bpf.LinkType(d.options.LinkType) == bpf.WeirLinkTypeLINK_IPV6 {
		f.version = 6
	}
	none := &Input{}
	frame := linkLayer(plain{none}, d.options.LinkType, ip(none, f, make([]byte, 40)))
	var p bpf.Packet
	d.golang.Decode(frame, uint32(len(frame)), d.options.LinkType, &p)
	d.stranger = p.Key
	if _, err := d.kernel.Frame(frame, 1, uint32(len(frame))); err != nil {
		return err
	}
	_, err := d.counted()
	return err
}

// plain chooses nothing that comes in front of a packet on Ethernet.
type plain struct{ Choices }

func (plain) IntN(n int) int {
	if n == ethernetKinds {
		return n - 1
	}
	return 0
}

// counted is what the kernel has counted since it was asked last.
func (d *Decoders) counted() (bpf.LedgerCount, error) {
	after, err := d.kernel.Ledger()
	if err != nil {
		return after, err
	}
	l := since(d.before, after)
	d.before = after
	return l, nil
}

// A FrameError is a frame that two decoders see differently.
type FrameError struct {
	Options bpftest.Options
	Frame   Step
	Err     error
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("link type %d, accounting mode %d, tunnels %v: frame of %d octets, original length %d: %v\n%s",
		e.Options.LinkType, e.Options.Accounting, !e.Options.NoTunnels, len(e.Frame.Data), e.Frame.Length, e.Err, hex.Dump(e.Frame.Data))
}

func (e *FrameError) Unwrap() error { return e.Err }

// Agree runs frames through both decoders. Of those that they see differently it
// names the first.
func (d *Decoders) Agree(frames []Step) error {
	for part := range slices.Chunk(frames, Batch) {
		differ, err := d.batch(part)
		if err == nil && differ != nil {
			err = d.find(part, differ)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// find runs the frames of a batch one by one.
func (d *Decoders) find(frames []Step, differ error) error {
	for i := range frames {
		one, err := d.batch(frames[i : i+1])
		if err != nil {
			return err
		}
		if one != nil {
			return &FrameError{d.options, frames[i], one}
		}
	}
	return fmt.Errorf("frames differ together, and none of them alone: %w", differ)
}

// batch knows packets by their times. Frames that are ignored are compared as
// sums of packets and octets by status.
func (d *Decoders) batch(frames []Step) (differ, err error) {
	want, ignored := d.decode(frames)
	for i := range frames {
		if _, err := d.kernel.Frame(frames[i].Data, timeOf(i), frames[i].Length); err != nil {
			return nil, err
		}
	}
	d.kernel.Forget()
	if err := d.kernel.Drain(); err != nil {
		return nil, err
	}
	got, err := d.counted()
	if err != nil {
		return nil, err
	}
	for i, n := range Counters(&got) {
		Counters(&d.total)[i] += n
	}
	return d.differ(&got, &ignored, want), nil
}

// decode is Go's part of a batch.
func (d *Decoders) decode(frames []Step) (packets []bpf.Packet, ignored bpf.LedgerCount) {
	packets = make([]bpf.Packet, 0, len(frames))
	for i := range frames {
		f := &frames[i]
		p := bpf.Packet{TimeNs: timeOf(i)}
		status := d.golang.Decode(f.Data, f.Length, d.options.LinkType, &p)
		if status != bpf.WeirDecodeStatusSTATUS_OK {
			ignored.IgnoredPackets[status]++
			ignored.IgnoredOctets[status] += uint64(f.Length)
		} else if p.Key != d.stranger {
			packets = append(packets, p)
		}
	}
	return packets, ignored
}

// timeOf is the time of a batch's i-th frame, after that of the stranger's.
func timeOf(i int) uint64 { return uint64(2 + i) }

var errStatus = errors.New("statuses differ")

func (d *Decoders) differ(got, ignored *bpf.LedgerCount, want []bpf.Packet) error {
	if got.IgnoredPackets != ignored.IgnoredPackets || got.IgnoredOctets != ignored.IgnoredOctets {
		return fmt.Errorf("%w: kernel ignored %d, Go %d (by status)", errStatus, got.IgnoredPackets, ignored.IgnoredPackets)
	}
	packets := d.kernel.Packets
	for i := range min(len(packets), len(want)) {
		if packets[i] != want[i] {
			return fmt.Errorf("packets differ:\nkernel %+v\nGo     %+v", packets[i], want[i])
		}
	}
	if len(packets) != len(want) {
		return fmt.Errorf("the kernel decoded %d packets, Go %d", len(packets), len(want))
	}
	return nil
}

// StatusesAgree compares the status of each frame that is ignored, one by one.
func (d *Decoders) StatusesAgree(frames []Step) error {
	for i := range frames {
		var p bpf.Packet
		f := frames[i : i+1]
		if d.golang.Decode(f[0].Data, f[0].Length, d.options.LinkType, &p) == bpf.WeirDecodeStatusSTATUS_OK {
			continue
		}
		if differ, err := d.batch(f); err != nil || differ != nil {
			return errors.Join(err, differ)
		}
	}
	return nil
}
