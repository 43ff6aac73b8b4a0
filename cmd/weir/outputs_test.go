package main

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/weirflow/weir/userspace/sink"
)

// A meeting is an output whose Close waits for that of others.
type meeting struct {
	sink.Sink
	all *sync.WaitGroup
}

func (m meeting) Name() string { return "meeting" }

func (m meeting) Close() error {
	met := make(chan struct{})
	m.all.Done()
	go func() { m.all.Wait(); close(met) }()
	select {
	case <-met:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("the others are not closed meanwhile")
	}
}

// Each may take as long as --drain says: together they do not take longer.
func TestOutputsAreClosedAtTheSameTime(t *testing.T) {
	o := &outputs{say: speaker{io.Discard, normal}, seldom: &seldom{}}
	var all sync.WaitGroup
	for range 3 {
		all.Add(1)
		o.all = append(o.all, &output{sink: meeting{all: &all}})
	}
	if !o.close() || o.broke() {
		t.Error("outputs are closed one after the other")
	}
}
