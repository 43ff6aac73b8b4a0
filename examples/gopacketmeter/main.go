// Gopacketmeter meters whatever gopacket can read (here: a pcap file, but an
// afpacket or pcap handle is used in the same way) and prints a line a flow.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/google/gopacket/pcapgo"

	"github.com/weirflow/weir/userspace"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: gopacketmeter FILE.pcap")
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(path string, out io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	meter, err := userspace.NewMeter(userspace.FromGopacket(reader, reader.LinkType()))
	if err != nil {
		return err
	}
	for f, err := range meter.Flows(context.Background()) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%v:%d > %v:%d protocol %d: %d packets, %d octets in %v\n", f.Source(), f.SourcePort(),
			f.Destination(), f.DestinationPort(), f.Record.Key.Protocol, f.Packets(), f.Octets(), f.End().Sub(f.Start()))
	}
	ledger := meter.Ledger()
	return ledger.Check()
}
