// Liveflows prints the flows of one interface as they end, until it is
// interrupted: the loader attaches, the consumer library reads.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/userspace"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: liveflows INTERFACE")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(name string) error {
	config := userspace.DefaultConfig()
	meter, err := loader.Attach([]string{name}, loader.Options{Config: loader.Config(config), Direction: loader.DirectionBoth})
	if err != nil {
		return err
	}
	defer meter.Close()
	flows, err := userspace.NewConsumer(meter.Handles(), userspace.WithConfig(config), userspace.WithDetach(meter.Detach))
	if err != nil {
		return err
	}
	defer flows.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Fprintln(os.Stderr, "metering", name)
	for f, err := range flows.Flows(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%v:%d -> %v:%d protocol %d: %d packets, %d octets\n", f.Source(), f.SourcePort(), f.Destination(), f.DestinationPort(), f.Record.Key.Protocol, f.Packets(), f.Octets())
	}
	ledger := flows.Ledger()
	return ledger.Check()
}
