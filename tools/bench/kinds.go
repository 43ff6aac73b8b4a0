package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/weirflow/weir/tools/flowgen"
)

// A kind of frame.
type kind struct {
	template, name string
	octets         int
}

var kinds = []kind{
	{flowgen.UDP4, "UDP/IPv4", 60}, {flowgen.TCP4, "TCP/IPv4", 60}, {flowgen.UDP6, "UDP/IPv6", 78}, {flowgen.TCP6, "TCP/IPv6", 78},
	{flowgen.TCP4, "TCP/IPv4", 1514},
}

// benchKinds measures what a packet of each kind costs, with CAP_PERFMON and without,
// and prints the least time of each less that of XDP_PASS.
func benchKinds(out io.Writer, rounds, packets int) error {
	const flows = 1000
	fmt.Fprintf(out, "Kernel by kind of frame: ns a packet, net, least of %d interleaved rounds of %d packets in %d flows\n\n", rounds, packets, flows)
	contenders, err := enterVariants(flows, weirVariants[:2])
	defer closeAll(contenders)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		frame := flowgen.Template(k.template, k.octets, [2][6]byte{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}})
		if err := takeTurns(contenders, frame, 2*flows, rounds, packets); err != nil {
			return fmt.Errorf("kernel, %s: %w", k.name, err)
		}
		net := func(i int) float64 { return slices.Min(contenders[i].nanos) - slices.Min(contenders[0].nanos) }
		fmt.Fprintf(out, "%s of %d octets: %.0f ns, without CAP_PERFMON %.0f ns\n", k.name, k.octets, net(2), net(3))
	}
	fmt.Fprintln(out)
	return settle(contenders)
}

// takeTurns fills the table, then measures all contenders in turn.
func takeTurns(contenders []contender, frame []byte, fill, rounds, packets int) error {
	for i := range contenders {
		c := &contenders[i]
		c.nanos = nil
		if _, err := c.generator.Run(frame, fill); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for range rounds {
		for i := range contenders {
			took, err := contenders[i].generator.Run(frame, packets)
			if err != nil {
				return fmt.Errorf("%s: %w", contenders[i].name, err)
			}
			contenders[i].nanos = append(contenders[i].nanos, float64(took.Nanoseconds()))
		}
	}
	return nil
}

func closeAll(contenders []contender) {
	for _, c := range contenders {
		c.close()
	}
}
