package userspace

import (
	"testing"

	"github.com/weirflow/weir/bpf"
)

// everyGroup is each set of groups that decides what a record takes.
var everyGroup = []struct {
	name string
	set  func(*Config)
}{
	{"plain", func(*Config) {}},
	{"every group", func(c *Config) {
		c.Statistics, c.SPLT, c.TCPStatistics, c.IPStatistics = true, bpf.SPLTMax, true, true
	}},
}

// BenchmarkFloodInUserSpace meters packets none of which finds a place in the kernel's
// table, each of another flow: each closes the flow that has been quiet longest, and
// that has the part handed out that has waited longest.
func BenchmarkFloodInUserSpace(b *testing.B) {
	for _, g := range everyGroup {
		b.Run(g.name, func(b *testing.B) {
			_, next := flooded(g.set)
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
		})
	}
}

// BenchmarkMerge meters a packet in user space that the kernel's record of its flow
// takes in.
func BenchmarkMerge(b *testing.B) {
	for _, g := range everyGroup {
		b.Run(g.name, func(b *testing.B) {
			next := merging(g.set)
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
		})
	}
}

// flooded is a consumer whose room is full, and what gives it one more packet.
func flooded(set func(*Config)) (c *Consumer, next func()) {
	c = withoutKernel(set)
	p := bpf.Packet{Octets: 60, TcpFlags: tcpSYN}
	p.Key.Protocol = 6
	next = func() {
		p.TimeNs += 1000
		p.Key.TunnelKey++
		c.packet(&p)
	}
	for range 2 * (overflowMaxFlows + heldMax) {
		next()
	}
	return c, next
}

// merging gives a consumer a packet and then the kernel's record of its flow.
func merging(set func(*Config)) (next func()) {
	c := withoutKernel(set)
	p := bpf.Packet{Octets: 60, TcpFlags: tcpSYN}
	r := bpf.Record{}
	return func() {
		p.TimeNs += 1000
		p.Key.TunnelKey++
		c.packet(&p)
		r.Key = p.Key
		r.Dir[0] = bpf.Direction{Packets: 1, Octets: 60, FirstNs: p.TimeNs + 100, LastNs: p.TimeNs + 100}
		c.merged(&r)
	}
}

// withoutKernel is a consumer that tests give its events.
func withoutKernel(set func(*Config)) *Consumer {
	config := DefaultConfig()
	set(&config)
	c := &Consumer{ring: &ring{}, options: options{config: config}, layout: config.groups().Layout()}
	c.overflow = c.newOverflow(config)
	c.held = newHeldParts(heldMax, c.overflow, 0)
	c.yield = func(*Flow, error) bool { return true }
	return c
}

// What a flood needs was there before it.
func TestA6NoPacketOfAFloodAllocates(t *testing.T) {
	for _, g := range everyGroup {
		t.Run(g.name, func(t *testing.T) {
			fresh := withoutKernel(g.set)
			c, next := flooded(g.set)
			if c.overflow.flows != overflowMaxFlows || c.held.flows != heldMax {
				t.Errorf("%d flows are open and %d wait: want the room to be full", c.overflow.flows, c.held.flows)
			}
			for _, s := range [][2]*store{{&fresh.overflow.store, &c.overflow.store}, {&fresh.held.store, &c.held.store}} {
				if a, b := s[0], s[1]; len(b.slabs) != len(a.slabs) || len(b.slots) != len(a.slots) || cap(b.quiet.links) != cap(a.quiet.links) {
					t.Errorf("%d slabs, %d slots and %d links have become %d, %d and %d",
						len(a.slabs), len(a.slots), cap(a.quiet.links), len(b.slabs), len(b.slots), cap(b.quiet.links))
				}
			}
			if n := testing.AllocsPerRun(10_000, next); n != 0 {
				t.Errorf("%v allocations a packet", n)
			}
			if n := testing.AllocsPerRun(10_000, merging(g.set)); n != 0 {
				t.Errorf("%v allocations a packet that is merged", n)
			}
		})
	}
}
