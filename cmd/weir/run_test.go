package main

import (
	"context"
	"errors"
	"iter"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// An endless source yields one flow, then waits for its context to end, then
// for drained to be closed.
type endless struct {
	yielded chan struct{}
	drained chan struct{}
	ledger  userspace.Ledger
	err     error
}

func (e *endless) Flows(ctx context.Context) iter.Seq2[*userspace.Flow, error] {
	return func(yield func(*userspace.Flow, error) bool) {
		f := &userspace.Flow{Record: bpf.Record{EndReason: uint8(bpf.WeirFlowEndReasonEND_IDLE)}}
		f.Record.Key.IpVersion = 4
		f.Record.Dir[0] = bpf.Direction{Packets: 3, Octets: 300}
		yield(f, nil)
		if e.err != nil {
			yield(nil, e.err)
		}
		close(e.yielded)
		<-ctx.Done()
		<-e.drained
	}
}

func (e *endless) Ledger() userspace.Ledger { return e.ledger }

func newEndless() *endless {
	c := userspace.Count{Packets: 3, Octets: 300}
	return &endless{
		yielded: make(chan struct{}),
		drained: make(chan struct{}),
		ledger:  userspace.Ledger{Observed: c, Metered: c, Accounted: c, Read: c, Delivered: c},
	}
}

// start runs a source as attach would.
func start(t *testing.T, f *fake, source *endless, change func(*meterRun)) (ended chan error) {
	t.Helper()
	r, err := newMeterRun(&f.environment, newSettings())
	if err != nil {
		t.Fatal(err)
	}
	r.source = source
	if change != nil {
		change(r)
	}
	ended = make(chan error, 1)
	go func() { ended <- r.run(context.Background()) }()
	<-source.yielded
	return ended
}

func wait(t *testing.T, ended chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the run does not end")
		return nil
	}
}

func TestC1SignalDrains(t *testing.T) {
	for name, signal := range map[string]os.Signal{"interrupt": unix.SIGINT, "terminate": unix.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			f, source := newFake(), newEndless()
			ended := start(t, f, source, nil)
			f.signals <- signal
			close(source.drained)
			if err := wait(t, ended); err != nil {
				t.Errorf("the run ends with %v, want nothing", err)
			}
			if n := len(lines(f.out.String())); n != 1 {
				t.Errorf("%d flows were written, want 1", n)
			}
		})
	}
}

func TestC1SecondSignalLeavesAtOnceAndSaysWhatIsAbandoned(t *testing.T) {
	f, source := newFake(), newEndless()
	source.ledger.Open = userspace.Count{Packets: 7, Octets: 700}
	defer close(source.drained)
	ended := start(t, f, source, nil)
	f.signals <- unix.SIGINT
	f.signals <- unix.SIGINT
	err := wait(t, ended)
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "7 packets, 700 octets") {
		t.Errorf("the run ends with %v; want exit code 1 and 7 packets", err)
	}
}

// A stuck writer takes nothing, as a pipe does whose reader has stopped.
type stuck struct{ released chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.released
	return len(p), nil
}

func TestC1SecondSignalLeavesThoughAnOutputThatIsWaitedForIsStuck(t *testing.T) {
	for name, drained := range map[string]bool{"while flows come": false, "when all have come": true} {
		t.Run(name, func(t *testing.T) {
			f, source, output := newFake(), newEndless(), stuck{make(chan struct{})}
			f.stdout = output
			defer close(output.released)
			if drained {
				close(source.drained)
			} else {
				defer close(source.drained)
			}
			s := newSettings()
			s.offline = true
			r, err := newMeterRun(&f.environment, s)
			if err != nil {
				t.Fatal(err)
			}
			r.source = source
			ended := make(chan error, 1)
			go func() { ended <- r.run(context.Background()) }()
			<-source.yielded
			time.Sleep(2 * flushEvery) // until the flow is being written
			f.signals <- unix.SIGINT
			f.signals <- unix.SIGINT
			if err := wait(t, ended); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "left at once") {
				t.Errorf("the run ends with %v; want exit code 1", err)
			}
		})
	}
}

func TestStatusTellsWhatFlowsWaitFor(t *testing.T) {
	f, s := newFake(), newSettings()
	s.outputs, s.drain.d = []string{"ndjson:unix://" + t.TempDir() + "/nobody"}, 100*time.Millisecond
	o, err := openOutputs(&f.environment, s, speaker{to: &f.err})
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	o.write(&userspace.Flow{Record: bpf.Record{Dir: [2]bpf.Direction{{Packets: 1, Octets: 60}}}})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		o.flush()
		state := o.status()[0].State
		if strings.Contains(state, "flows are waiting: no connection: no such file") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the output's state is %q", state)
		}
	}
}

func TestTheDurationEndsTheRun(t *testing.T) {
	f, source := newFake(), newEndless()
	ended := start(t, f, source, func(r *meterRun) { r.duration = time.Minute })
	close(source.drained)
	f.elapsed <- time.Time{}
	if err := wait(t, ended); err != nil || f.waited != time.Minute {
		t.Errorf("after %v the run ends with %v; want nothing after 1m", f.waited, err)
	}
}

func TestAReaderThatLeavesEndsALiveRun(t *testing.T) {
	f, source := newFake(), newEndless()
	f.stdout = closedPipe(t)
	close(source.drained)
	if err := wait(t, start(t, f, source, nil)); err != nil {
		t.Errorf("the run ends with %v, want nothing", err)
	}
}

func TestWhatARunComesTo(t *testing.T) {
	count := func(packets uint64) userspace.Count {
		return userspace.Count{Packets: packets, Octets: 100 * packets}
	}
	nic := func(low, high uint64) *userspace.Range { return &userspace.Range{Low: count(low), High: count(high)} }
	for name, c := range map[string]struct {
		change func(*endless)
		run    func(*meterRun)
		code   int
		said   string
	}{
		"complete":             {code: exitComplete},
		"an error of the ring": {change: func(e *endless) { e.err = errors.New("read ring buffer: gone") }, code: exitFailed, said: "read ring buffer: gone"},
		"a ledger that does not close": {
			change: func(e *endless) { e.ledger.Observed = count(4) },
			code:   exitFailed, said: "ledger line L2 does not close",
		},
		"flows that no output was offered": {
			change: func(e *endless) {
				e.ledger.Read, e.ledger.Accounted, e.ledger.Metered, e.ledger.Observed = count(4), count(4), count(4), count(4)
			},
			code: exitFailed, said: "ledger line L4 does not close",
		},
		"packets lost": {
			change: func(e *endless) { lose(e, count(2)) },
			code:   exitLoss, said: "2 packets, 40 %, were lost or not sent",
		},
		"packets lost and that accepted": {
			change: func(e *endless) { lose(e, count(2)) },
			run:    func(r *meterRun) { r.settings.maxLoss.p = 40 },
			code:   exitComplete, said: "2 packets, 40 %, were lost or not sent",
		},
		"packets that an interface counted and nobody saw": {
			run:  func(r *meterRun) { r.nicIsExact, r.finish = true, counted(nic(6, 6)) },
			code: exitLoss, said: "3 packets, 50 %, were lost or not sent",
		},
		"an interface that counts otherwise": {
			run:  func(r *meterRun) { r.finish = counted(nic(6, 6)) },
			code: exitComplete,
		},
		"damage and loss": {
			change: func(e *endless) { lose(e, count(2)) },
			run:    func(r *meterRun) { r.finish = func(*userspace.Ledger) error { return &codedError{code: exitDamaged} } },
			code:   exitDamaged, said: "ledger",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, source := newFake(), newEndless()
			if c.change != nil {
				c.change(source)
			}
			close(source.drained)
			ended := start(t, f, source, c.run)
			f.signals <- unix.SIGTERM
			err := wait(t, ended)
			said := f.err.String()
			if !told(err) {
				said += err.Error()
			}
			if exitCode(err) != c.code || !strings.Contains(said, c.said) {
				t.Errorf("exit code %d, said %q; want %d and %q", exitCode(err), said, c.code, c.said)
			}
		})
	}
}

// lose has packets be lost on top of those that were read.
func lose(e *endless, c userspace.Count) {
	e.ledger.Lost = c
	e.ledger.Accounted = e.ledger.Accounted.Plus(c)
	e.ledger.Metered = e.ledger.Metered.Plus(c)
	e.ledger.Observed = e.ledger.Observed.Plus(c)
}

func counted(nic *userspace.Range) func(*userspace.Ledger) error {
	return func(l *userspace.Ledger) error {
		l.NIC = nic
		return nil
	}
}
