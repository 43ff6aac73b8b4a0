// Command peers holds the programs that talk in the captures and that no
// package has: HTTP/3 over QUIC, and SCTP on a kernel without it. It is a
// module of its own, so that weir does not depend on theirs.
//
//	peers quic-server ADDR CERT KEY     peers quic-client ADDR HOST CERT PATH...
//	peers sctp-server ADDR PEER         peers sctp-client ADDR PEER
package main

import (
	"fmt"
	"os"
)

var commands = map[string]struct {
	arguments int
	run       func(args []string) error
}{
	"quic-server": {3, quicServer},
	"quic-client": {4, quicClient},
	"sctp-server": {2, sctpServer},
	"sctp-client": {2, sctpClient},
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "peers: name a command: quic-server, quic-client, sctp-server or sctp-client")
		os.Exit(2)
	}
	c, known := commands[os.Args[1]]
	if !known || len(os.Args)-2 < c.arguments {
		fmt.Fprintf(os.Stderr, "peers: %s: not a command, or too few arguments\n", os.Args[1])
		os.Exit(2)
	}
	if err := c.run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}
