package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/userspace"
)

// A collector listens, and does with each connection what the test says.
type collector struct {
	net.Listener
	path string // of the output

	mu       sync.Mutex
	received [][]byte // by connection
	serving  sync.WaitGroup
}

// collect listens. serve is called for each connection, in order of their number.
func collect(t *testing.T, network string, serve func(c *collector, number int, conn net.Conn)) *collector {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	small := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 16384) })
	}}
	l, err := small.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{Listener: l, path: network + "://" + l.Addr().String()}
	c.serving.Go(func() {
		for number := 0; ; number++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.received = append(c.received, nil)
			c.mu.Unlock()
			c.serving.Go(func() {
				defer conn.Close()
				serve(c, number, conn)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return c
}

// read keeps what a connection brings until lines were read, or for 0 lines to its end.
func (c *collector) read(number int, conn net.Conn, lines int) {
	r := bufio.NewReader(conn)
	for n := 0; lines == 0 || n < lines; n++ {
		line, err := r.ReadString('\n')
		c.mu.Lock()
		c.received[number] = append(c.received[number], line...)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// end waits until all connections are over.
func (c *collector) end() []string {
	_ = c.Close()
	c.serving.Wait()
	var texts []string
	for _, text := range c.received {
		texts = append(texts, string(text))
	}
	return texts
}

// arrivals says how often each flow arrived, by its number of packets. It holds each
// connection to whole records, in order, each once; the last may be cut.
func arrivals(t *testing.T, received []string) map[uint64]int {
	t.Helper()
	got := map[uint64]int{}
	for number, text := range received {
		last := -1
		for line := range strings.Lines(text) {
			if !strings.HasSuffix(line, "\n") {
				continue // the connection broke
			}
			var row struct {
				ID      int    `json:"id"`
				Packets uint64 `json:"bidirectional_packets"`
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatalf("connection %d: a record is not whole: %v: %q", number, err, line)
			}
			if last >= 0 && row.ID != last+1 {
				t.Errorf("connection %d: record %d comes after %d", number, row.ID, last)
			}
			last = row.ID
			got[row.Packets]++
		}
	}
	return got
}

// quickly has everything happen sooner.
func quickly(l *limits) {
	l.connect, l.stall, l.drain = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	l.pauseMin, l.pauseMax, l.look, l.hush = 5*time.Millisecond, 20*time.Millisecond, 2*time.Millisecond, 5*time.Millisecond
}

// refusals add up what errors say was not sent, by cause.
type refusals map[string]tally

func (r refusals) add(t *testing.T, err error) {
	t.Helper()
	for _, e := range flatten(err) {
		c := r[e.Cause()]
		c.add(t, e)
		r[e.Cause()] = c
	}
}

func flatten(err error) (all []*Error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return []*Error{e}
	}
	return nil
}

func (r refusals) total() (all tally) {
	for _, c := range r {
		all.flows += c.flows
		all.count = all.count.Plus(c.count)
	}
	return all
}

func openRemote(t *testing.T, path string, opts ...Option) *remote {
	t.Helper()
	s, err := Open("ndjson:"+path, everything, nil, append([]Option{quickly}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*remote)
}

// offer writes flows 1 to n and closes the sink. No call may take long.
func offer(t *testing.T, s *remote, n uint64) refusals {
	t.Helper()
	refused := refusals{}
	for i := uint64(1); i <= n; i++ {
		begun := time.Now()
		refused.add(t, s.Write(numbered(i)))
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("a flow took %v to be queued or refused", took)
		}
		s.queue.mu.Lock()
		o, r := s.queue.octets, s.queue.records
		s.queue.mu.Unlock()
		if o > s.limits.octets || r > s.limits.records {
			t.Errorf("%d records of %d octets are queued", r, o)
		}
	}
	refused.add(t, s.Close())
	if all := refused.total(); all.count.Octets != 10*all.count.Packets {
		t.Errorf("not sent: %+v", all)
	}
	return refused
}

func sum(n uint64) uint64 { return n * (n + 1) / 2 }

func TestG3FlowsArriveInOrderEachOnce(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			c := collect(t, network, func(c *collector, number int, conn net.Conn) { c.read(number, conn, 0) })
			s := openRemote(t, c.path, WithQueue(200, 1<<20), WithDrain(time.Minute))
			s.Patient()
			t.Logf("measured: %s: %d flows arrived, each once", network, arriveOnce(t, s, c))
		})
	}
}

func TestG3EachConnectionBeginsWithTheHeaderOfCSV(t *testing.T) {
	c := collect(t, "unix", func(c *collector, number int, conn net.Conn) {
		lines := 0
		if number < 2 {
			lines = 5
		}
		c.read(number, conn, lines)
	})
	s, err := Open("csv:"+c.path, everything, nil, quickly, WithDrain(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := s.Write(web()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	received := c.end()
	if len(received) < 3 {
		t.Fatalf("%d connections, want 3", len(received))
	}
	for number, text := range received {
		if !strings.HasPrefix(text, "id,expiration_id,src_ip,") || strings.Count(text, "expiration_id") != 1 {
			t.Errorf("connection %d begins with %.60q", number, text)
		}
	}
}

func TestG3NobodyListensCostsWhatFindsNoRoom(t *testing.T) {
	c := collect(t, "tcp", nil)
	_ = c.Close()
	s := openRemote(t, c.path, WithQueue(100, 1<<20))
	refused := offer(t, s, 500)
	if err := s.reason(); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the trouble is %v", err)
	}
	if got := refused["no connection"]; len(refused) != 1 || got.flows != 500 || got.count.Packets != sum(500) {
		t.Errorf("not sent: %+v, want all for want of a connection", refused)
	}
}

// A listener whose queue of connections is full answers nothing: connecting takes
// until the deadline.
func TestG3ConnectionThatIsNeverAnsweredHoldsNothingUp(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for full := false; !full; {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if full = err != nil; !full {
			defer conn.Close()
		}
		cancel()
	}
	refused := offer(t, openRemote(t, "tcp://"+address, WithQueue(100, 1<<20)), 300)
	if got := refused["no connection"]; len(refused) != 1 || got.flows != 300 || got.count.Packets != sum(300) {
		t.Errorf("not sent: %+v, want all for want of a connection", refused)
	}
}

// What a Unix socket has not been read of is not taken for arrived: nothing is lost
// however often the reader leaves.
func TestG3ReaderThatLeavesAgainAndAgainMissesNothing(t *testing.T) {
	c := collect(t, "unix", func(c *collector, number int, conn net.Conn) {
		lines := 0
		if number < 20 {
			lines = 1 + 7*number
		}
		c.read(number, conn, lines)
	})
	s := openRemote(t, c.path, WithDrain(time.Minute), WithQueue(1000, 1<<20))
	s.Patient()
	const flows = 3000
	refused := offer(t, s, flows)
	received := c.end()
	got := arrivals(t, received)
	for n := uint64(1); n <= flows; n++ {
		if got[n] == 0 {
			t.Fatalf("flow %d did not arrive", n)
		}
	}
	if len(received) < 21 || len(refused) > 0 {
		t.Errorf("%d connections; not sent: %v", len(received), refused)
	}
	t.Logf("measured: %d flows over %d connections, 0 missing", flows, len(received))
}

// TCP tells what the other machine has taken. What it took and its program did not
// read before it reset the connection counts as sent; the rest comes again.
func TestG3ResetsAreFollowedByWhatWasNotTaken(t *testing.T) {
	c := collect(t, "tcp", func(c *collector, number int, conn net.Conn) {
		if number < 10 {
			c.read(number, conn, 10)
			_ = conn.(*net.TCPConn).SetLinger(0)
			return
		}
		c.read(number, conn, 0)
	})
	s := openRemote(t, c.path, WithDrain(time.Minute), WithQueue(300, 1<<20))
	s.Patient()
	const flows = 1500
	refused := offer(t, s, flows)
	received := c.end()
	got := arrivals(t, received)
	if len(received) < 11 || len(refused) > 0 || got[flows] == 0 {
		t.Errorf("%d connections, the last flow came %d times; not sent: %v", len(received), got[flows], refused)
	}
}

// outrun writes more than a collector that reads nothing until late takes. What counts as
// sent must be there.
func outrun(t *testing.T, s *remote, c *collector, late chan struct{}) (received []string, got map[uint64]int, refused refusals) {
	t.Helper()
	const flows = 6000
	refused = refusals{}
	for n := uint64(1); n <= flows; n++ {
		refused.add(t, s.Write(numbered(n)))
		if n%20 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	refused.add(t, s.Close())
	close(late)
	received = c.end()
	got = arrivals(t, received)
	all, arrived := refused.total(), uint64(0)
	for n := range got {
		arrived += n
	}
	if sent := sum(flows) - all.count.Packets; arrived < sent || all.flows == 0 {
		t.Errorf("%d packets count as sent, %d are there; not sent: %+v", sent, arrived, refused)
	}
	return received, got, refused
}

// A collector that accepts and reads nothing is given up, again and again. What the
// ledger says was sent is in the buffers of its machine: a late reader finds it.
func TestG3CollectorThatStallsHasWhatCountsAsSent(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			late := make(chan struct{})
			c := collect(t, network, func(c *collector, number int, conn net.Conn) {
				<-late
				c.read(number, conn, 0)
			})
			s := openRemote(t, c.path, WithQueue(400, 1<<20))
			received, got, refused := outrun(t, s, c, late)
			if len(received) < 2 {
				t.Errorf("%d connections", len(received))
			}
			t.Logf("measured: %d connections, %d flows there, not sent: %+v", len(received), len(got), refused)
		})
	}
}

// A patient writer waits for what moves, and not for what does not.
func TestPatienceEndsWhereNothingMoves(t *testing.T) {
	c := collect(t, "tcp", nil)
	_ = c.Close()
	s := openRemote(t, c.path, WithQueue(10, 1<<20))
	s.Patient()
	begun := time.Now()
	refused := offer(t, s, 100)
	if took := time.Since(begun); took < s.limits.drain || refused.total().flows != 100 {
		t.Errorf("after %v, not sent: %v", took, refused)
	}
}

// A reluctantConn takes 1 to 7 octets a call.
type reluctantConn struct {
	net.Conn
	r *rand.Rand
}

func (c *reluctantConn) Write(p []byte) (int, error) {
	return c.Conn.Write(p[:min(len(p), 1+c.r.IntN(7))])
}

func TestG4PartialWritesGiveTheSameOctetsOverANetwork(t *testing.T) {
	c := collect(t, "unix", func(c *collector, number int, conn net.Conn) { c.read(number, conn, 0) })
	p, _, _ := findPlace(c.path)
	r := newRemote("ndjson:"+c.path, p, newEncoder(NDJSON, everything, ending{}), nil, newLimits(nil))
	for n := uint64(1); n <= 50; n++ {
		if err := r.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := dialWire(t.Context(), p.network, p.address, &r.limits)
	if err != nil {
		t.Fatal(err)
	}
	w.conn = &reluctantConn{w.conn, rand.New(rand.NewPCG(1, 1))}
	close(r.closing)
	if err := r.talk(t.Context(), w); err != nil {
		t.Error(err)
	}
	w.close()
	got := arrivals(t, c.end())
	for n := uint64(1); n <= 50; n++ {
		if got[n] != 1 {
			t.Errorf("flow %d came %d times", n, got[n])
		}
	}
	t.Logf("measured: %d flows through partial writes to a socket, each once", len(got))
}

func TestG3CollectorThatComesLateGetsWhatWaited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := openRemote(t, "unix://"+path, WithDrain(time.Minute))
	for n := uint64(1); n <= 100; n++ {
		if err := s.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); !errors.Is(err, ErrWaiting) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("Flush: %v", err)
	}
	if flows, _ := s.Settled(); flows != 0 {
		t.Errorf("%d flows are settled", flows)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text := make(chan string)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		all, _ := io.ReadAll(conn)
		text <- string(all)
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := arrivals(t, []string{<-text}); len(got) != 100 {
		t.Errorf("%d flows arrived", len(got))
	}
	if flows, _ := s.Settled(); flows != 100 {
		t.Errorf("%d flows are settled", flows)
	}
}

func TestWhatIsGivenUpIsCountedAndTheConnectionGoesOn(t *testing.T) {
	held := make(chan struct{})
	c := collect(t, "unix", func(c *collector, number int, conn net.Conn) {
		<-held
		c.read(number, conn, 0)
	})
	s := openRemote(t, c.path, func(l *limits) { l.stall, l.drain = time.Minute, time.Minute })
	refused := refusals{}
	for n := uint64(1); n <= 3000; n++ {
		refused.add(t, s.Write(numbered(n)))
	}
	refused.add(t, s.GiveUp())
	if flows, notSent := s.Settled(); flows != 3000 || notSent != refused.total().count {
		t.Errorf("%d flows are settled, %v not sent: %v", flows, notSent, refused)
	}
	close(held)
	for n := uint64(3001); n <= 4000; n++ {
		refused.add(t, s.Write(numbered(n)))
	}
	refused.add(t, s.Close())
	got := arrivals(t, nil)
	for _, text := range c.end() { // ids have a gap where flows were given up
		for line := range strings.Lines(text) {
			var row struct {
				Packets uint64 `json:"bidirectional_packets"`
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatalf("a record is not whole: %q", line)
			}
			got[row.Packets]++
		}
	}
	for n := uint64(3001); n <= 4000; n++ {
		if got[n] != 1 {
			t.Fatalf("flow %d came %d times", n, got[n])
		}
	}
	if refused["too slow"].flows == 0 {
		t.Errorf("not sent: %+v", refused)
	}
}

func TestQueuedFlowsAreSettledInTheirOrder(t *testing.T) {
	q := newQueue(3, 1<<20)
	one := userspace.Count{Packets: 1, Octets: 10}
	check := func(when string, flows, refused uint64) {
		t.Helper()
		if f, r := q.settled(); f != flows || r.Packets != refused {
			t.Errorf("%s: %d settled, %d refused; want %d, %d", when, f, r.Packets, flows, refused)
		}
	}
	for range 3 {
		q.add([]byte("1234567890"), 1, one)
	}
	if q.add([]byte("x"), 1, one) {
		t.Error("a record beyond the bound is taken")
	}
	q.refuse(1, one)
	check("nothing sent", 0, 0)
	if got, _ := q.take(100); len(got) != 30 {
		t.Fatalf("%q", got)
	}
	q.settle(119)
	check("one arrived, and most of the next", 1, 0)
	q.restart()
	if got, _ := q.take(7); len(got) != 20 {
		t.Errorf("%q is sent again, want two records", got)
	}
	q.add([]byte("abc"), 1, one)
	q.settle(27)
	check("all before the refused one have arrived", 4, 1)
	sent, unsent := q.giveUp(27)
	if sent.flows != 0 || unsent.flows != 1 {
		t.Errorf("given up: %v sent, %v not", sent, unsent)
	}
	check("all given up", 5, 2)
}

func TestPausesGrowToTheirBoundAndDiffer(t *testing.T) {
	l := newLimits(nil)
	b := backoff{limits: &l}
	seen := map[time.Duration]bool{}
	for try := range 100 {
		full := min(l.pauseMin<<min(try, 20), l.pauseMax)
		d := b.next()
		if d < full/2 || d > full || d > 30*time.Second {
			t.Errorf("pause %d is %v, want %v to %v", try, d, full/2, full)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different pauses", len(seen))
	}
}

func TestAddressesThatCannotBeAreRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"ndjson:tcp://collector": "want a host and a port", "csv:tcp://:5170": "want a host and a port", "ndjson:unix://here": "want an absolute path",
		"table:tcp://localhost:1":   "a table is for reading",
		"ndjson:tcp:collector:5170": "written tcp://HOST:PORT; a file of that name is ./tcp:collector:5170", "csv:TCP://collector:5170": "written tcp://",
		"csv:unix:/run/s": "written unix:///PATH; a file of that name is ./unix:/run/s", "csv:unix:/run/s?formulas=keep": "written unix:///PATH",
		"ndjson:udp://collector:5170": "only ipfix goes over udp", "ndjson:udp:collector:5170": "a file of that name is ./udp:",
		"csv:http:collector": "http: is no network", "csv:https://collector/": "https: is no network", "table:kafka:b": "kafka: is no network",
		"csv:gopher://collector": "gopher: is no network",
	} {
		if _, _, err := Parse(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}

func TestPathsWithColonsAreFiles(t *testing.T) {
	for spec, want := range map[string]string{
		"csv:./tcp:collector:5170": "./tcp:collector:5170", "ndjson:/var/udp:1": "/var/udp:1", "csv:flows-12:30.csv": "flows-12:30.csv",
		"flows 12:30.csv": "flows 12:30.csv", "csv:tcp": "tcp", "csv:dir/a://b": "dir/a://b", "csv:tcpdump:1": "tcpdump:1",
	} {
		format, path, err := Parse(spec)
		if _, _, remote := Remote(path); err != nil || path != want || remote {
			t.Errorf("%s: %s of %q, remote: %v, %v; want the file %q", spec, format, path, remote, err, want)
		}
	}
}
