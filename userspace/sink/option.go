package sink

import (
	"crypto/tls"
	"net"
	"time"
)

// An Option shapes outputs that queue: those to a network, and WithQueueing all.
type Option func(*limits)

// limits bound how much an output holds, and how long it takes for things.
type limits struct {
	records, octets int
	queueing        bool
	drain           time.Duration

	idle, active time.Duration // timeouts of the flows, to be told of; 0 if not known

	tls *tls.Config // nil for the system's roots, and no certificate of its own

	resolver           *net.Resolver
	connect, stall     time.Duration
	accept             time.Duration // a server has so long to refuse a client
	pauseMin, pauseMax time.Duration
	look               time.Duration
	silence            time.Duration // after which a datagram is taken to have arrived
	hush               time.Duration // Linux says once in 2 s that datagrams do not arrive
}

// The bounds of a queue unless WithQueue sets others, and how long Close waits
// unless WithDrain says otherwise.
const (
	QueueRecords = 1 << 16
	QueueOctets  = 64 << 20
	Drain        = 5 * time.Second
)

func newLimits(opts []Option) limits {
	l := limits{
		records: QueueRecords, octets: QueueOctets, drain: Drain,
		// Go's resolver reads files and sends packets; the C library's loads code.
		resolver: &net.Resolver{PreferGo: true},
		connect:  10 * time.Second, stall: 10 * time.Second, accept: 2 * time.Second,
		pauseMin: 250 * time.Millisecond, pauseMax: 30 * time.Second,
		look: 20 * time.Millisecond, silence: 100 * time.Millisecond, hush: 2500 * time.Millisecond,
	}
	for _, opt := range opts {
		opt(&l)
	}
	return l
}

// WithQueue bounds how many records and octets an output holds that are not known
// to have arrived. What finds no room is not sent.
func WithQueue(records, octets int) Option {
	return func(l *limits) { l.records, l.octets = records, octets }
}

// WithQueueing makes files and standard output a Queued, too: for a live meter, which
// a disk or a reader that is slow, or stuck, must not hold up.
func WithQueueing() Option {
	return func(l *limits) { l.queueing = true }
}

// WithDrain has Close wait at most so long for what is queued to arrive, and Write,
// after Patient, as long for anything to move.
func WithDrain(d time.Duration) Option {
	return func(l *limits) { l.drain = d }
}

// WithTLS is how outputs at tls://HOST:PORT prove who they are, and whom they take for the
// collector: a server with a certificate for HOST, or for the configuration's ServerName, that
// the system's roots or the configuration's have signed. Without it, weir has no certificate.
func WithTLS(c *tls.Config) Option {
	return func(l *limits) { l.tls = c }
}

// WithTimeouts has IPFIX over a network tell when flows are closed.
func WithTimeouts(idle, active time.Duration) Option {
	return func(l *limits) { l.idle, l.active = idle, active }
}
