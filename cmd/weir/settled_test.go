package main

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/sink"
)

// What is confirmed of flows and what is told of those not sent are of one moment:
// after a kill the flows behind it come again, and would be told of twice.
func TestB2WhatIsNotSentIsToldOfTheFlowsThatAreConfirmed(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	env, s := &environment{stdout: io.Discard, terminal: func(any) bool { return false }}, newSettings()
	s.outputs = []string{"ndjson:unix:///nonexistent/socket", "ndjson:" + fifo}
	s.queueFlows.n, s.drain.d = 3, 100*time.Millisecond
	o, err := openOutputs(env, s, speaker{to: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	write := func(n int) {
		for range n {
			f := &userspace.Flow{Record: bpf.Record{Key: bpf.Key{Protocol: 6, IpVersion: 4}}}
			f.Record.Dir[0].Packets = 1
			o.write(f)
		}
	}
	check := func(when string, flows, notSent uint64) {
		t.Helper()
		if f, most := o.settled(); f != flows || most.Packets != notSent {
			t.Errorf("%s: %d flows are settled, of these %d not sent; want %d and %d", when, f, most.Packets, flows, notSent)
		}
	}
	write(2)
	check("both wait", 0, 0)
	q := o.all[0].sink.(sink.Queued)
	o.trouble(o.all[0], q.GiveUp())
	write(1)
	check("one has given up two and keeps the third, the other keeps all", 0, 0)
	reader, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(reader)
	for tries := 0; ; tries++ {
		if f, _ := o.all[1].sink.(sink.Queued).Settled(); f == 3 {
			break
		}
		if tries > 500 {
			t.Fatal("the FIFO is not written")
		}
		time.Sleep(10 * time.Millisecond)
	}
	check("one has given up two, the other has written all", 2, 2)
	write(5)
	o.trouble(o.all[0], q.GiveUp())
	for tries := 0; tries < 500; tries++ {
		if f, _ := o.all[1].sink.(sink.Queued).Settled(); f == 8 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if f, most := o.settled(); most.Packets != f {
		t.Errorf("%d flows are settled, %d not sent: one output has taken none", f, most.Packets)
	}
	check("all are written or given up", 8, 8)
}
