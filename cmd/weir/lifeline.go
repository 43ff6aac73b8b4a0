package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/loader"
)

// consumerCommand makes weir the process that reads a meter on behalf of another,
// which has attached it. The command line that was given follows.
const consumerCommand = "consumer"

// What the consumer is started with: the lifeline, and behind it the descriptors of
// the meter.
const (
	lifelineFD = 3
	metersFD   = lifelineFD + 1
)

// The lifeline is a socket between the two. It tells the consumer what the other
// has to say, as JSON, and ends when that one does. Back go requests of one octet:
// whoever asks may have been taken over, and nothing that it says is parsed.
type message struct {
	Handover *handover `json:",omitempty"`
	Change   *change   `json:",omitempty"`
	Reply    *reply    `json:",omitempty"`
	Signal   bool      `json:",omitempty"` // SIGINT or SIGTERM
	Hangup   bool      `json:",omitempty"` // SIGHUP
}

// A handover is what there is to know of an attached meter.
type handover struct {
	Points     []bpf.Point
	Object     string // which programs were attached
	Iterates   bool   // the sweep's iterator was handed over as well
	Hooks      []string
	Adopted    bool
	Pinned     *loader.About `json:",omitempty"`
	Interfaces []loader.Interface
	Control    string        // the path of the control socket, if there is one
	ControlFD  int           // and its descriptor; the next one is of the path
	User       uint32        // of the process that has attached the meter
	Watchdog   time.Duration // of the service manager
}

// A request asks the process that has attached the meter to act.
type request byte

const (
	requestDetach   request = 'd'
	requestCounters request = 'c'
	requestRemove   request = 'r' // the pins

	// These are not replied to.
	requestWatched  request = 'w' // the flows of the interface that is gone are closed
	requestReady    request = 'y' // and the next two: tell the service manager
	requestStopping request = 's'
	requestAlive    request = 'a'
)

// A reply is what came of a request, and what the interfaces have counted.
type reply struct {
	Err       string `json:",omitempty"`
	Low, High loader.Counters
	Uncounted string `json:",omitempty"` // why there are no counters
}

// A meter that is attached, by this process or another.
type attached interface {
	Handles() bpf.Handles
	Hooks() []string
	Adopted() bool
	Pinned() *loader.About
	Detach() error
	Counters() (low, high loader.Counters, err error)
	Remove() error
	Watch(ctx context.Context, tell func(loader.Change)) error
	Interfaces() []loader.Interface
}

// A handedMeter is one that the process at the other end of the lifeline has
// attached.
type handedMeter struct {
	handover
	handles bpf.Handles
	line    *os.File
	replies chan reply
	control *control
	changes chan change

	mu     sync.Mutex // one request at a time
	last   *reply     // with the counters of the latest request
	silent bool       // a request was not replied to: what comes late is nobody's

	known sync.Mutex // of handover.Interfaces
}

// takeOver begins with what the process was started with. Signals come over the
// lifeline: those of a terminal reach the whole group of processes.
func takeOver(signals, hangups chan<- os.Signal) (*handedMeter, error) {
	const byHand = "weir runs the command " + consumerCommand + " by itself; it is of no use by hand"
	unix.CloseOnExec(lifelineFD)
	if err := unix.SetNonblock(lifelineFD, true); err != nil {
		return nil, errors.New(byHand)
	}
	// Others that run as the same user must not look into this process.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("forbid tracing: %w", err)
	}
	m := &handedMeter{line: os.NewFile(lifelineFD, "lifeline"), replies: make(chan reply, 1), changes: make(chan change, changesMax)}
	from := json.NewDecoder(m.line)
	var first message
	if err := from.Decode(&first); err != nil || first.Handover == nil {
		return nil, errors.New(byHand)
	}
	m.handover = *first.Handover
	// Should the other process die before this line, listen sees the lifeline end.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return nil, fmt.Errorf("end with the process that has attached the meter: %w", err)
	}
	var err error
	if m.handles, err = loader.TakeOver(metersFD, bpf.Handles{Points: m.Points, Object: m.Object}, m.Iterates); err != nil {
		return nil, err
	}
	if m.handover.Control != "" {
		if m.control, err = takeControl(m.ControlFD, m.handover.Control, m.User); err != nil {
			return nil, err
		}
	}
	go m.listen(from, signals, hangups)
	return m, nil
}

// listen passes on what comes over the lifeline. At its end nobody keeps the meter
// attached, or waits for this process.
func (m *handedMeter) listen(from *json.Decoder, signals, hangups chan<- os.Signal) {
	for {
		var next message
		if from.Decode(&next) != nil {
			os.Exit(exitFailed)
		}
		switch {
		case next.Reply != nil:
			select {
			case m.replies <- *next.Reply:
			default: // nobody waits any more
			}
		case next.Change != nil:
			m.note(next.Change)
		case next.Signal:
			signals <- unix.SIGTERM
		case next.Hangup:
			select {
			case hangups <- unix.SIGHUP:
			default: // one is waiting to be heard
			}
		}
	}
}

// replyTime is what the other process gets to reply: far more than it takes to detach.
// One that is stopped never does, and passes no signal on that would end the waiting.
const replyTime = 10 * time.Second

// ask makes a request and waits for the reply. Once one did not come, none is waited
// for any more.
func (m *handedMeter) ask(r request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent {
		return m.unanswered()
	}
	if _, err := m.line.Write([]byte{byte(r)}); err != nil {
		return fmt.Errorf("ask the process that has attached the meter: %w", err)
	}
	select {
	case answer := <-m.replies:
		m.last = &answer
		if answer.Err != "" {
			return errors.New(answer.Err)
		}
		return nil
	case <-time.After(replyTime):
		m.silent = true
		return m.unanswered()
	}
}

func (m *handedMeter) unanswered() error {
	pid := os.Getppid()
	return fmt.Errorf("ask the process that has attached the meter (pid %d): no reply within %v: it is stopped or hangs; let it go on (kill -CONT %d) or end it (kill -KILL %d)",
		pid, replyTime, pid, pid)
}

func (m *handedMeter) Handles() bpf.Handles  { return m.handles }
func (m *handedMeter) Hooks() []string       { return m.handover.Hooks }
func (m *handedMeter) Adopted() bool         { return m.handover.Adopted }
func (m *handedMeter) Pinned() *loader.About { return m.handover.Pinned }
func (m *handedMeter) Detach() error         { return m.ask(requestDetach) }
func (m *handedMeter) Remove() error         { return m.ask(requestRemove) }

func (m *handedMeter) Counters() (low, high loader.Counters, err error) {
	if err := m.ask(requestCounters); err != nil {
		return low, high, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.Uncounted != "" {
		err = errors.New(m.last.Uncounted)
	}
	return m.last.Low, m.last.High, err
}
