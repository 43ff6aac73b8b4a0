// Pinnedflows prints the flows of a meter that weir attach --pin has started, until
// it is interrupted. It needs no privilege but to read the directory, and metering
// goes on without it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/weirflow/weir/userspace"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: pinnedflows DIRECTORY")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(dir string) error {
	flows, err := userspace.OpenConsumer(dir)
	if err != nil {
		return err
	}
	defer flows.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Fprintln(os.Stderr, "reading", dir)
	for f, err := range flows.Flows(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%v:%d -> %v:%d protocol %d: %d packets, %d octets\n", f.Source(), f.SourcePort(), f.Destination(), f.DestinationPort(), f.Record.Key.Protocol, f.Packets(), f.Octets())
	}
	ledger := flows.Ledger()
	fmt.Fprintf(os.Stderr, "%d packets are in flows that go on\n", ledger.Open.Packets)
	return nil
}
