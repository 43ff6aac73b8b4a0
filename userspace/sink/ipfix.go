package sink

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/feature"
	"github.com/weirflow/weir/userspace/sink/ipfix"
)

// A Reporter is a Sink that tells the other side of the ledger besides: an IPFIX
// exporter.
type Reporter interface {
	Sink
	// Report has the sink ask for the ledger whenever it tells of it, from then on,
	// until Close returns.
	Report(func() userspace.Ledger)
}

// An ipfixEncoder makes the records of flows. They wait without messages around them:
// which record is in which message is known when it goes out.
type ipfixEncoder struct{ *ipfix.Encoder }

// appendHeader implements encoder: each connection has templates of its own.
func (e ipfixEncoder) appendHeader(dst []byte) []byte { return dst }

// appendFlow implements encoder.
func (e ipfixEncoder) appendFlow(dst []byte, r *feature.Row, g *guard) []byte {
	if g == nil {
		return e.AppendFlow(dst, r, nil)
	}
	return e.AppendFlow(dst, r, g.value)
}

// An exporter is a remote whose connections carry IPFIX messages.
type exporter struct {
	*remote
	ledger atomic.Pointer[func() userspace.Ledger]
}

// Report implements Reporter.
func (x *exporter) Report(ledger func() userspace.Ledger) { x.ledger.Store(&ledger) }

func newExporter(name string, p place, columns []feature.Column, o *ipfix.Options, l limits) *exporter {
	octets := o.Octets(ipfix.StreamOctets)
	if p.network == networkUDP {
		octets = o.Octets(ipfix.DatagramOctets)
	}
	o.Idle, o.Active = l.idle, l.active
	even := &pace{octets: o.Rate}
	e := ipfix.NewEncoder(columns, o, octets)
	x := &exporter{remote: newRemote(name, p, ipfixEncoder{e}, nil, l)}
	all := ipfix.NewMessages(o, octets, time.Now)
	templates := e.AppendTemplates(nil)
	try := -1
	x.dial = func(ctx context.Context) (link, error) {
		try++
		all.Restart()
		m := &messageLink{messages: all, templates: templates, statistics: x.appendStatistics, every: o.Resend}
		var err error
		if p.network == networkUDP {
			m.datagrams, err = dialDatagrams(ctx, p, &x.limits, even, try)
			m.link = m.datagrams
		} else {
			m.link, err = dial(ctx, p, &x.limits)
		}
		return m, err
	}
	x.start()
	return x
}

// appendStatistics appends the records that tell of weir itself.
func (x *exporter) appendStatistics(dst []byte, m *ipfix.Messages) []byte {
	dst = m.AppendExporting(dst, x.refusal())
	if ledger := x.ledger.Load(); ledger != nil {
		l := (*ledger)()
		dst = m.AppendMetering(dst, &l)
	}
	return dst
}

// refusal is what found no room in the queue, or was given up.
func (x *exporter) refusal() ipfix.Refusal {
	return ipfix.Refusal{Flows: x.turnedAway.Load(), Count: x.queue.refusedInAll()}
}
