// Command flowgen sends live frames of a known set of flows out of an
// interface, and prints what it sent. Give it one end of a veth pair whose
// other end is metered in native XDP.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/weirflow/weir/tools/flowgen"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "flowgen:", err)
		os.Exit(1)
	}
}

func run() error {
	iface := flag.String("i", "", "interface to send from")
	flows := flag.Uint("flows", 1000, "number of flows")
	packets := flag.Uint("packets", 1_000_000, "number of packets")
	seed := flag.Uint64("seed", 1, "seed of the order of the flows")
	size := flag.Int("size", 64, "octets of a frame, without FCS")
	kind := flag.String("kind", flowgen.TCP4, "tcp4, udp4, tcp6 or udp6")
	batch := flag.Uint("batch", 64, "frames in one go, at most 256")
	flag.Parse()
	link, err := net.InterfaceByName(*iface)
	if err != nil {
		return fmt.Errorf("interface %q: %w; name one with -i", *iface, err)
	}
	g, err := flowgen.Load(flowgen.Options{Flows: uint32(*flows), Seed: *seed, Ifindex: link.Index})
	if err != nil {
		return err
	}
	defer g.Close()
	frame := flowgen.Template(*kind, *size, [2][6]byte{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}})
	begin := time.Now()
	if err := g.Live(frame, uint32(*packets), uint32(*batch)); err != nil {
		return err
	}
	return report(g, time.Since(begin))
}

func report(g *flowgen.Generator, took time.Duration) error {
	l, err := g.Ledger()
	if err != nil {
		return err
	}
	fmt.Printf("sent %d packets, %d octets, %d packets reversed, in %.3f s: %.2f M packets/s\n",
		l.Packets, l.Octets, l.Reversed, took.Seconds(), float64(l.Packets)/took.Seconds()/1e6)
	return nil
}
