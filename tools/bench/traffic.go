package main

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// A conversation is the frames of one recorded flow, Ethernet with IPv4 or IPv6
// without options or extensions, to be repeated under other addresses.
type conversation struct {
	frames [][]byte
	back   []bool // from server to client
	bulk   int    // the longest frame, which long flows repeat; -1 for none
}

// shares are how often each recording is taken, of the sum.
var shares = []struct {
	name  string
	share int
}{
	{"dns-udp", 30}, {"http2-tls13", 25}, {"tls12", 10}, {"http1", 12}, {"quic", 15}, {"ssh", 2}, {"ntp", 4}, {"dns-tcp", 2},
}

// library is the conversations of each of shares.
type library [][]conversation

func readLibrary(testdata string) (library, error) {
	var l library
	for _, s := range shares {
		found, err := readConversations(filepath.Join(testdata, s.name, s.name+".pcap"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("read conversations of %s: no TCP or UDP in it", s.name)
		}
		l = append(l, found)
	}
	return l, nil
}

func readConversations(path string) ([]conversation, error) {
	r, err := pcapfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read conversations (run from the root of the repository, or give -testdata): %w", err)
	}
	defer r.Close()
	var p userspace.CapturedPacket
	g := grouping{index: map[string]int{}}
	for {
		err := r.ReadPacket(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read conversations: %w", err)
		}
		g.add(p.Data)
	}
	for i := range g.list {
		g.list[i].findBulk()
	}
	return g.list, nil
}

// grouping collects frames by 5-tuple, either way round.
type grouping struct {
	list  []conversation
	index map[string]int // by tuple
}

func (g *grouping) add(frame []byte) {
	there, back, ok := tupleOf(frame)
	if !ok {
		return
	}
	i, known := g.index[there]
	if !known {
		i = len(g.list)
		g.index[there], g.index[back] = i, i
		g.list = append(g.list, conversation{})
	}
	c := &g.list[i]
	c.frames = append(c.frames, append([]byte(nil), frame...))
	first, _, _ := tupleOf(c.frames[0])
	c.back = append(c.back, there != first)
}

// findBulk looks for a frame that is worth repeating.
func (c *conversation) findBulk() {
	c.bulk = -1
	for i, f := range c.frames {
		if len(f) > 1000 && (c.bulk < 0 || len(f) > len(c.frames[c.bulk])) {
			c.bulk = i
		}
	}
}

// layout is where addresses end and the transport header begins.
func layout(frame []byte) (src, dst, transport int, ok bool) {
	if len(frame) < 14+20+8 {
		return 0, 0, 0, false
	}
	switch {
	case binary.BigEndian.Uint16(frame[12:]) == 0x0800 && frame[14] == 0x45:
		src, dst, transport = 30, 34, 34
		ok = frame[23] == 6 || frame[23] == 17
	case binary.BigEndian.Uint16(frame[12:]) == 0x86dd && len(frame) >= 14+40+8:
		src, dst, transport = 38, 54, 54
		ok = frame[20] == 6 || frame[20] == 17
	}
	return src, dst, transport, ok
}

func isUDP(frame []byte) bool {
	if frame[14]>>4 == 6 {
		return frame[20] == 17
	}
	return frame[23] == 17
}

func tupleOf(frame []byte) (there, back string, ok bool) {
	src, dst, l4, ok := layout(frame)
	if !ok {
		return "", "", false
	}
	n := dst - src
	if l4 == 34 {
		n = 4
	}
	a := string(frame[src-n:src]) + string(frame[l4:l4+2])
	b := string(frame[dst-n:dst]) + string(frame[l4+2:l4+4])
	return a + b, b + a, true
}

// A live flow is a conversation under way.
type live struct {
	c      *conversation
	next   time.Duration
	frame  int
	repeat uint32 // how often the bulk frame is still to come
	client uint32
	port   uint16
}

// traffic makes packets in the order of their times.
type traffic struct {
	library library
	random  *rand.Rand
	flows   []*live // a heap by next
	clients uint32
	arrival time.Duration // of the next flow
	frame   []byte        // of the last packet
	octets  uint64
}

func newTraffic(l library, seed uint64) *traffic {
	return &traffic{library: l, random: rand.New(rand.NewPCG(seed, seed))}
}

func (t *traffic) Len() int           { return len(t.flows) }
func (t *traffic) Less(i, j int) bool { return t.flows[i].next < t.flows[j].next }
func (t *traffic) Swap(i, j int)      { t.flows[i], t.flows[j] = t.flows[j], t.flows[i] }
func (t *traffic) Push(x any)         { t.flows = append(t.flows, x.(*live)) }
func (t *traffic) Pop() any {
	last := t.flows[len(t.flows)-1]
	t.flows = t.flows[:len(t.flows)-1]
	return last
}

// Flows begin at this rate, a second; a flow's packets come so far apart.
const (
	flowRate = 67
	meanGap  = 20 * time.Millisecond
)

// packet is the next one: its time, and t.frame.
func (t *traffic) packet() time.Duration {
	for len(t.flows) == 0 || t.arrival <= t.flows[0].next {
		heap.Push(t, t.begin())
	}
	f := t.flows[0]
	now := f.next
	t.write(f)
	if t.advance(f) {
		heap.Fix(t, 0)
	} else {
		heap.Pop(t)
	}
	return now
}

// begin draws a flow: which conversation, and how long it gets.
func (t *traffic) begin() *live {
	sum := 0
	for _, s := range shares {
		sum += s.share
	}
	pick, kind := t.random.IntN(sum), 0
	for pick >= shares[kind].share {
		pick -= shares[kind].share
		kind++
	}
	list := t.library[kind]
	f := &live{c: &list[t.random.IntN(len(list))], next: t.arrival, client: t.clients, port: uint16(1024 + t.random.IntN(60000))}
	if f.c.bulk >= 0 { // a heavy tail: half of the flows get nothing, one in a thousand thousands
		f.repeat = uint32(min(math.Pow(t.random.Float64(), -0.9)*8-8, 20_000))
	}
	t.clients++
	t.arrival += time.Duration(t.random.ExpFloat64() / flowRate * float64(time.Second))
	return f
}

// write makes the frame: the recorded one under the flow's client, in bulk with
// a sequence number of its own.
func (t *traffic) write(f *live) {
	t.frame = append(t.frame[:0], f.c.frames[f.frame]...)
	src, dst, l4, _ := layout(t.frame)
	at, port := src, l4
	if f.c.back[f.frame] {
		at, port = dst, l4+2
	}
	t.frame[at-4] = 10
	t.frame[at-3], t.frame[at-2], t.frame[at-1] = byte(f.client>>16), byte(f.client>>8), byte(f.client)
	binary.BigEndian.PutUint16(t.frame[port:], f.port)
	if f.frame == f.c.bulk && !isUDP(t.frame) {
		seq := binary.BigEndian.Uint32(t.frame[l4+4:])
		binary.BigEndian.PutUint32(t.frame[l4+4:], seq+f.repeat*1448)
	}
	t.octets += uint64(len(t.frame))
}

// advance is false when the flow has had its last packet.
func (t *traffic) advance(f *live) bool {
	f.next += time.Duration(t.random.ExpFloat64() * float64(meanGap))
	if f.frame == f.c.bulk && f.repeat > 0 {
		f.repeat--
		return true
	}
	f.frame++
	return f.frame < len(f.c.frames)
}

// writeCapture writes so many packets as a pcap file in microseconds, and
// returns how many flows began and the octets of the frames.
func writeCapture(w io.Writer, l library, packets int) (flows, octets uint64, err error) {
	b := bufio.NewWriterSize(w, 1<<20)
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	head = binary.LittleEndian.AppendUint32(head, 4<<16|2)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, 262144)
	b.Write(binary.LittleEndian.AppendUint32(head, 1)) //nolint:errcheck // bufio keeps the error for Flush
	t := newTraffic(l, 1)
	const begin = 1_700_000_000 * time.Second
	for range packets {
		at := begin + t.packet()
		head = binary.LittleEndian.AppendUint32(head[:0], uint32(at/time.Second))
		head = binary.LittleEndian.AppendUint32(head, uint32(at%time.Second/time.Microsecond))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(t.frame)))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(t.frame)))
		b.Write(head) //nolint:errcheck // as above
		if _, err := b.Write(t.frame); err != nil {
			return 0, 0, fmt.Errorf("write capture: %w", err)
		}
	}
	if err := b.Flush(); err != nil {
		return 0, 0, fmt.Errorf("write capture: %w", err)
	}
	return uint64(t.clients), t.octets, nil
}
