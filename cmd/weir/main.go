// Command weir meters network traffic: it turns the packets of an interface or
// of a capture file into flow records, and accounts for every packet.
package main

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/weirflow/weir/loader/sandbox"
)

func main() {
	// A reader that leaves, as head does, is reported by the write; it is no
	// reason to die with a program attached and the ledger unsaid.
	signal.Ignore(unix.SIGPIPE)
	signals, hangups := make(chan os.Signal, 4), make(chan os.Signal, 1)
	env := &environment{
		stdin:    os.Stdin,
		stdout:   standardOutput(),
		stderr:   os.Stderr,
		terminal: isTerminal,
		after:    time.After,
		signals:  signals,
		hangups:  hangups,
		limit:    (*sandbox.Calls).Limit,
		settle:   (*sandbox.Remainder).Settle,
	}
	args := os.Args[1:]
	if len(args) > 0 && args[0] == consumerCommand {
		os.Exit(consume(env, args[1:], signals, hangups))
	}
	asked := make(chan os.Signal, 4)
	go wishes(asked, signals, sameWish)
	signal.Notify(asked, unix.SIGINT, unix.SIGTERM)
	// Where a terminal is to hang up, its SIGHUP ends the run like the others; a
	// service has none, and is asked to reopen its files.
	if isTerminal(os.Stdin) || isTerminal(os.Stdout) || isTerminal(os.Stderr) {
		signal.Notify(asked, unix.SIGHUP)
	} else {
		signal.Notify(hangups, unix.SIGHUP)
	}
	os.Exit(run(env, args))
}

// consume is the process that reads a meter on behalf of the one that has attached
// it.
func consume(env *environment, args []string, signals, hangups chan<- os.Signal) int {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP) // they come over the lifeline
	var err error
	if env.handed, err = takeOver(signals, hangups); err != nil {
		speaker{to: env.stderr}.always("%s", oneLine(err))
		return exitUsage
	}
	return run(env, args)
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
