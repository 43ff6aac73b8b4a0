package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/loader"
	"github.com/weirflow/weir/loader/sandbox"
)

// A parent has attached a meter and keeps it so, with the privileges that takes.
// Another process, the consumer, reads it, with none. From the hand-over on the parent
// opens no file and parses neither packets nor flows nor what the consumer says: it
// passes signals on, detaches when it is asked to, and waits.
type parent struct {
	env        *environment
	say        speaker
	attachment *loader.Attachment
	ends       bool // the meter may be detached, and its pins removed

	consumer *exec.Cmd
	line     *os.File      // the parent's end of the lifeline
	ended    chan error    // of the consumer
	watched  chan change   // nil where the interfaces are not watched
	closed   chan struct{} // the flows of an interface that is gone are
	control  *control      // that the consumer serves, if there is one
	service  *service
	requests chan request
}

// leaveTime is what a consumer gets to leave at once before it is killed.
const leaveTime = 3 * time.Second

// keepFor hands a meter over to a consumer, and ends with it. Where the meter ends as
// well the consumer says when.
func keepFor(env *environment, s *settings, a *loader.Attachment, ends bool) error {
	return newParent(env, s, a, ends).run(s)
}

func newParent(env *environment, s *settings, a *loader.Attachment, ends bool) *parent {
	return &parent{env: env, say: speaker{env.stderr, s.level}, attachment: a, ends: ends,
		ended: make(chan error, 1), requests: make(chan request)}
}

func (p *parent) run(s *settings) error {
	confinement, err := p.confinement(s)
	if err != nil {
		return err
	}
	if err := p.start(confinement); err != nil {
		return err
	}
	quieten()
	if err := p.settle(confinement.User); err != nil {
		_ = p.consumer.Process.Kill()
		return err
	}
	if err := p.tell(message{Handover: p.handover()}); err != nil {
		return fmt.Errorf("hand the meter over: %w", err)
	}
	stop := p.watch()
	defer stop()
	return p.keep()
}

// quieten has Go's runtime make few system calls on its own account from now on: the
// fewer a process makes, the more can be told from them. What is left to do takes no
// memory to speak of.
func quieten() {
	makeThreads(spareThreads)
	debug.FreeOSMemory()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(parentMemory)
	runtime.GOMAXPROCS(1)
}

// spareThreads are enough for calls that block: what detaches, and what waits for the
// consumer, and for notifications.
const spareThreads = 6

// makeThreads makes some, so that none has to be made later: each goroutine has one
// of its own until all have.
func makeThreads(n int) {
	var all, done sync.WaitGroup
	all.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		})
	}
	done.Wait()
}

// parentMemory is at what size of the parent its garbage is collected after all.
const parentMemory = 64 << 20

// start starts the consumer and hands over.
func (p *parent) start(c *sandbox.Confinement) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("start the consumer: make its lifeline: %w", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "lifeline")
	defer theirs.Close()
	if err := unix.SetNonblock(ends[0], true); err != nil {
		return fmt.Errorf("start the consumer: make its lifeline: %w", err)
	}
	p.line = os.NewFile(uintptr(ends[0]), "lifeline")
	meter, err := p.attachment.HandOver()
	if err != nil {
		return fmt.Errorf("start the consumer: %w", err)
	}
	defer func() {
		for _, f := range meter {
			_ = f.Close()
		}
	}()
	// What this process was started with, and has no use for, is not the consumer's.
	if err := unix.CloseRange(lifelineFD, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("start the consumer: keep descriptors from it: %w", err)
	}
	// The binary that runs, even where another took its place on disk.
	p.consumer = exec.Command("/proc/self/exe", slices.Concat([]string{consumerCommand}, p.env.args)...)
	p.consumer.ExtraFiles = append([]*os.File{theirs}, meter...)
	if p.control != nil {
		listener, err := p.control.listener.File()
		if err != nil {
			return fmt.Errorf("start the consumer: hand over the control socket: %w", err)
		}
		defer listener.Close()
		p.consumer.ExtraFiles = append(p.consumer.ExtraFiles, listener, p.control.place)
	}
	p.consumer.Stdout, p.consumer.Stderr = forChild(p.env.stdout), p.env.stderr
	p.consumer.Env = consumerEnvironment()
	sandbox.OnThread(func() { err = p.startConfined(c) })
	if err != nil {
		return fmt.Errorf("start the consumer: %w", err)
	}
	go func() { p.ended <- p.consumer.Wait() }()
	return nil
}

// consumerEnvironment has the consumer use as many processors: what a container may
// use is told in files that it cannot read.
func consumerEnvironment() []string {
	env := os.Environ()
	if os.Getenv("GOMAXPROCS") == "" {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(runtime.GOMAXPROCS(0)))
	}
	return env
}

// startConfined starts the consumer from a thread that gives up what the consumer
// must not have. The thread ends then, so the consumer asks for its death signal by
// itself, when it is told of the meter: a signal is tied to a thread.
func (p *parent) startConfined(c *sandbox.Confinement) error {
	missing, err := c.Enter()
	if err != nil {
		return err
	}
	for _, clause := range missing {
		p.say.always("warning: %s", clause)
	}
	return p.consumer.Start()
}

// tell says something over the lifeline. Where it cannot be said the consumer is
// ending, and that is noticed elsewhere. One that does not listen cannot keep the
// parent from hearing signals.
func (p *parent) tell(m message) error {
	if err := p.line.SetWriteDeadline(time.Now().Add(leaveTime)); err != nil {
		return err
	}
	err := json.NewEncoder(p.line).Encode(m)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return err
}

// keep serves the consumer until it ends.
func (p *parent) keep() error {
	go p.listen()
	signals := 0
	for {
		var err error
		select {
		case ended := <-p.ended:
			return p.verdict(ended)
		case r := <-p.requests:
			err = p.serve(r)
		case c := <-p.watched:
			err = p.tell(message{Change: &c})
		case <-p.env.hangups:
			err = p.tell(message{Hangup: true})
		case <-p.env.signals:
			if signals++; signals == 2 {
				time.AfterFunc(leaveTime, func() { _ = p.consumer.Process.Kill() })
			}
			err = p.tell(message{Signal: true})
		}
		if err != nil {
			return fmt.Errorf("talk to the consumer: %w", err)
		}
	}
}

// listen takes requests off the lifeline.
func (p *parent) listen() {
	var one [1]byte
	for {
		if n, err := p.line.Read(one[:]); n == 0 || err != nil {
			return
		}
		p.requests <- request(one[0])
	}
}

// serve does what the consumer may ask for: to know the interfaces' counters, to
// end metering where the run ends it, and to be told of.
func (p *parent) serve(r request) error {
	if p.noted(r) {
		return nil
	}
	var answer reply
	var err error
	switch {
	case r == requestDetach && p.ends:
		err = p.attachment.Detach()
	case r == requestRemove && p.ends:
		err = p.attachment.Remove()
	case r == requestCounters:
		var uncounted error
		if answer.Low, answer.High, uncounted = p.attachment.Counters(); uncounted != nil {
			answer.Uncounted = uncounted.Error()
		}
	default:
		err = errors.New("the process that has attached the meter refuses")
	}
	if err != nil {
		answer.Err = err.Error()
	}
	return p.tell(message{Reply: &answer})
}

// verdict is what the run came to. The consumer has told the user.
func (p *parent) verdict(ended error) error {
	var exit *exec.ExitError
	switch {
	case ended == nil:
		return nil
	case !errors.As(ended, &exit):
		return fmt.Errorf("wait for the consumer: %w", ended)
	case exit.ExitCode() < 0:
		left := "what it had read and not written is gone"
		if p.attachment.Pinned() != nil {
			left = "what it had not confirmed comes again to whoever reads the pinned meter next"
		}
		return fmt.Errorf("the consumer ended by %w: %s", exit, left)
	}
	return &codedError{code: exit.ExitCode()}
}
