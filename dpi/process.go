package dpi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi/worker"
	"github.com/weirflow/weir/userspace"
)

const (
	// backoffMin and backoffMax bound the wait before another process is
	// started; the first time there is none.
	backoffMin = 50 * time.Millisecond
	backoffMax = time.Second
	// steady is how long a process must have run for its end to count as the
	// first again.
	steady = time.Minute
	// partingTime is what a process gets to end by itself at Close.
	partingTime = time.Second
)

// oneArena has the C library keep nDPI's memory in one place. Go calls nDPI from one
// thread and then another, and of what a flow took in a thread's own arena the next
// thread's flows could use nothing.
const oneArena = "MALLOC_ARENA_MAX=1"

// A process is one run of the DPI process, seen from the side that started it.
type process struct {
	w    *Worker
	cmd  *exec.Cmd
	conn *os.File
	last tail // of what it wrote to stderr

	sent     atomic.Uint64 // octets given to the socket, the batch being written included
	acked    atomic.Uint64
	began    time.Time
	progress atomic.Int64 // ns since began when it last gave a sign of life
	hung     atomic.Bool
	deaf     atomic.Bool   // nobody listens to it: Options.Classified has a label
	dead     chan struct{} // closed when it has ended

	// Of the batches that were written, or begun to be.
	seq    uint64
	lastNs uint64
	broken atomic.Pointer[error] // how it broke the protocol
	labels labels
	hello  int // octets of the greeting
}

// supervise starts a process, says in started how that went, and keeps one
// running until Close. Its thread has given up what the process must not have,
// and lives as long as the process, whose death signal is tied to it.
func (w *Worker) supervise(level confinement, started chan<- error) {
	confined := level != keepsCapabilities
	err := level.enter(w.o.Unconfined)
	var p *process
	if err == nil {
		p, err = w.start(confined, false)
	}
	started <- err
	if err != nil {
		return
	}
	w.keepRunning(p, confined)
	w.out.goDown()
	w.lose(^uint64(0), 0)
	close(w.ended)
}

// keepRunning runs p, and another in its place whenever one ends, until Close.
func (w *Worker) keepRunning(p *process, confined bool) {
	var wait time.Duration
	for {
		if p != nil {
			w.out.comeUp()
			began := time.Now()
			p.run()
			if time.Since(began) > steady {
				wait = 0
			}
		}
		if w.isClosed() {
			return
		}
		wait = w.pause(wait)
		if w.isClosed() {
			return
		}
		var err error
		if p, err = w.start(confined, true); err != nil {
			w.mu.Lock()
			w.stats.LastCrash = err.Error()
			w.mu.Unlock()
		}
	}
}

func (w *Worker) isClosed() bool {
	select {
	case <-w.closed:
		return true
	default:
		return false
	}
}

// pause waits before the next start, and returns how long the one after that
// has to. What is asked for in the meantime is answered without a process; the
// first time it rather waits for the next one, unless that would hold up a
// live meter for as long as a start may take.
func (w *Worker) pause(wait time.Duration) time.Duration {
	if wait != 0 || w.o.Lossy {
		w.out.goDown()
		w.lose(^uint64(0), 0)
	}
	if wait == 0 {
		return backoffMin
	}
	select {
	case <-time.After(wait):
	case <-w.closed:
	}
	return min(2*wait, backoffMax)
}

// start starts a process and waits for its welcome.
func (w *Worker) start(confined, restarted bool) (*process, error) {
	if err := w.fatal.begin(); err != nil {
		return nil, fmt.Errorf("start DPI process: %w", err)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("start DPI process: %w", err)
	}
	p := &process{w: w, conn: ours, dead: make(chan struct{}), began: time.Now()}
	// The binary that runs, even where another took its place on disk.
	p.cmd = exec.Command("/proc/self/exe", w.o.Command...)
	p.cmd.ExtraFiles = []*os.File{theirs, w.fatal.memory}
	given := uint8(0)
	for _, k := range w.files {
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, k.file)
		given |= 1 << k.kind
	}
	p.cmd.Env = append(os.Environ(), oneArena)
	p.cmd.Stderr = &p.last
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	err = p.cmd.Start()
	theirs.Close() // so that ours ends with the process
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start DPI process: %w (the binary must be executable by everyone)", err)
	}
	release, err := p.greet(worker.Hello{
		Dissections: uint8(w.o.Dissections),
		MaxFlows:    uint32(w.o.MaxFlows),
		Details:     w.o.Details,
		Labels:      w.o.Classified != nil,
		Files:       given,
		Restarted:   restarted,
		Unconfined:  w.o.Unconfined,
		Quarantine:  w.fatal.twice,
	})
	if err != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		ours.Close()
		return nil, fmt.Errorf("start DPI process: %w%s", err, p.last.suffix())
	}
	w.mu.Lock()
	w.stats.Release, w.stats.Confined = release, confined
	w.stats.Started++
	w.mu.Unlock()
	return p, nil
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	// Only ours is polled; the process reads and writes in turn.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "DPI process"), os.NewFile(uintptr(fds[1]), "DPI process"), nil
}

func (p *process) greet(h worker.Hello) (release string, err error) {
	if err := p.conn.SetDeadline(time.Now().Add(p.w.o.Timeout)); err != nil {
		return "", err
	}
	greeted := make(chan struct{})
	defer close(greeted)
	go p.hurry(greeted)
	greeting := worker.AppendHello(nil, h)
	p.hello = len(greeting)
	if _, err := p.conn.Write(greeting); err != nil {
		return "", fmt.Errorf("greet it: %w", err)
	}
	buf, n := make([]byte, 1024), 0
	for {
		kind, body, rest, err := worker.NextFrame(buf[:n])
		if err != nil {
			return "", err
		}
		if kind == worker.KindWelcome && len(rest) == 0 {
			release, trouble, err := worker.ParseWelcome(body)
			if err == nil && trouble != "" {
				err = errors.New(trouble)
			}
			return release, errors.Join(err, p.conn.SetDeadline(time.Time{}))
		}
		if kind != 0 || n == len(buf) {
			return "", fmt.Errorf("it does not answer as weir does; %q must lead to worker.Main", p.w.o.Command)
		}
		m, err := p.conn.Read(buf[n:])
		if err != nil {
			return "", fmt.Errorf("it ended before it was ready: %w", err)
		}
		n += m
	}
}

// hurry ends the wait for a process that nobody needs any more.
func (p *process) hurry(greeted <-chan struct{}) {
	select {
	case <-p.w.closed:
		// Where this does not work, the time-out does.
		_ = p.conn.SetDeadline(time.Unix(1, 0))
	case <-greeted:
	}
}

// run feeds the process until it ends or Close is called.
func (p *process) run() {
	var wg sync.WaitGroup
	p.alive()
	wg.Go(p.write)
	wg.Go(p.read)
	wg.Go(p.watch)
	err := p.cmd.Wait()
	close(p.dead)
	p.conn.Close()
	wg.Wait()
	p.account(err)
}

// account books the end of the process.
func (p *process) account(err error) {
	w := p.w
	if !w.isClosed() {
		w.fatal.end()
	}
	w.mu.Lock()
	for _, c := range [...]struct{ to, from *uint64 }{
		{&w.past.Shown, &w.now.Shown}, {&w.past.Rejected, &w.now.Rejected}, {&w.past.Evicted, &w.now.Evicted},
		{&w.past.Unread, &w.now.Unread},
	} {
		*c.to += *c.from
	}
	w.now = worker.Ack{}
	if !w.isClosed() {
		w.stats.LastCrash = p.cause(err)
		if p.hung.Load() {
			w.stats.Hangs++
		} else {
			w.stats.Crashes++
		}
	}
	w.mu.Unlock()
	w.lose(p.seq, p.lastNs)
}

func (p *process) cause(err error) string {
	if broken := p.broken.Load(); broken != nil {
		return (*broken).Error()
	}
	if p.hung.Load() {
		return fmt.Sprintf("silent for %v", p.w.o.Timeout)
	}
	if err == nil {
		return "ended by itself" + p.last.suffix()
	}
	return err.Error() + p.last.suffix()
}

func (p *process) alive() { p.progress.Store(int64(time.Since(p.began))) }

// silent is how long it gave no sign of life.
func (p *process) silent() time.Duration {
	return time.Since(p.began) - time.Duration(p.progress.Load())
}

// announce calls Options.Classified, which may block for as long as it likes:
// that the process cannot be heard meanwhile is not its silence.
func (p *process) announce(l *userspace.Label) {
	p.deaf.Store(true)
	defer func() {
		p.w.survive(recover())
		p.alive()
		p.deaf.Store(false)
	}()
	p.w.o.Classified(l)
}

// write writes batches as they come.
func (p *process) write() {
	for {
		select {
		case b := <-p.w.out.full:
			p.seq, p.lastNs = b.seq, max(p.lastNs, b.lastNs)
			if p.sent.Load() == p.acked.Load() {
				p.alive()
			}
			p.sent.Add(uint64(len(b.b)))
			_, err := p.conn.Write(b.b)
			p.w.out.giveBack(b)
			if err != nil {
				p.kill()
				return
			}
		case <-p.dead:
			return
		}
	}
}

func (p *process) kill() {
	// It may have ended already, which is what is wanted.
	_ = p.cmd.Process.Kill()
}

// watch ends a process that is silent over its work, or when Close is called.
func (p *process) watch() {
	tick := time.NewTicker(p.w.o.Timeout / 8)
	defer tick.Stop()
	for {
		select {
		case <-p.dead:
			return
		case <-p.w.closed:
			p.part()
			return
		case <-tick.C:
			if !p.deaf.Load() && p.sent.Load() != p.acked.Load() && p.silent() > p.w.o.Timeout {
				p.hung.Store(true)
				p.kill()
				return
			}
		}
	}
}

// part lets the process end by itself, at the end of its input.
func (p *process) part() {
	if c, err := p.conn.SyscallConn(); err == nil {
		// Where this does not work, the time-out does.
		_ = c.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
	select {
	case <-p.dead:
	case <-time.After(partingTime):
		p.kill()
	}
}

// A tail keeps the first line that a process wrote to stderr, which says more
// than the stacks that follow.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailOctets = 512

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b[:min(len(b), tailOctets-len(t.b))]...)
	return len(b), nil
}

func (t *tail) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line, _, _ := bytes.Cut(bytes.TrimSpace(t.b), []byte("\n"))
	if len(line) == 0 {
		return ""
	}
	return ": " + strings.ToValidUTF8(string(line), "")
}
