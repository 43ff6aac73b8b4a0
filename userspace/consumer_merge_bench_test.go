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
			c := benchedConsumer(b, g.set)
			p := bpf.Packet{Octets: 60, TcpFlags: tcpSYN}
			p.Key.Protocol = 6
			next := func() {
				p.TimeNs += 1000
				p.Key.TunnelKey++
				c.packet(&p)
			}
			for range 100_000 { // until the room is full
				next()
			}
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
			c := benchedConsumer(b, g.set)
			p := bpf.Packet{Octets: 60, TcpFlags: tcpSYN}
			r := bpf.Record{}
			b.ReportAllocs()
			for b.Loop() {
				p.TimeNs += 1000
				p.Key.TunnelKey++
				c.packet(&p)
				r.Key = p.Key
				r.Dir[0] = bpf.Direction{Packets: 1, Octets: 60, FirstNs: p.TimeNs + 100, LastNs: p.TimeNs + 100}
				c.merged(&r)
			}
		})
	}
}

func benchedConsumer(b *testing.B, set func(*Config)) *Consumer {
	b.Helper()
	config := liveConfig()
	config.MaxFlows = 1 << 18
	set(&config)
	c := &Consumer{ring: &ring{}, options: options{config: config}, layout: config.groups().Layout()}
	c.overflow = c.newOverflow(config)
	c.held = newHeldParts(heldMax, c.overflow, 0)
	c.yield = func(*Flow, error) bool { return true }
	return c
}
