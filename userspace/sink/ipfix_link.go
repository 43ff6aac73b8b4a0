package sink

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/weirflow/weir/userspace/sink/ipfix"
)

// A teller is a link that has something to say besides records.
type teller interface {
	link
	// tell writes what is due now and then, however much or little else there is.
	tell(ctx context.Context, arrived func(int64)) error
	// finish writes what comes after all records, the first time that it is called.
	finish(ctx context.Context, arrived func(int64)) error
}

func tell(ctx context.Context, w link, arrived func(int64)) error {
	if t, ok := w.(teller); ok {
		return t.tell(ctx, arrived)
	}
	return nil
}

func finish(ctx context.Context, w link, arrived func(int64)) error {
	if t, ok := w.(teller); ok {
		return t.finish(ctx, arrived)
	}
	return nil
}

// A messageLink is given records, and writes messages to the link that it is over.
// Templates come first, and over UDP again and again: they, too, may be lost.
type messageLink struct {
	link
	datagrams  *datagrams // the link, if it is over UDP
	messages   *ipfix.Messages
	templates  []byte // as records
	statistics func(dst []byte, m *ipfix.Messages) []byte
	every      time.Duration // for templates and statistics

	begun, finished bool
	told            time.Time // when the statistics were last
	since           int       // messages since the templates
	records         atomic.Int64
	flight          flight[passage]
	scratch         []byte
}

// A passage is a message that may not have arrived: where it ends on the link, and among
// the records.
type passage struct{ end, records int64 }

// resendAfter is how many messages over UDP go between templates at most: as many are
// lost at most to a collector that begins to listen.
const resendAfter = 100

// write implements link. It is given whole records.
func (m *messageLink) write(ctx context.Context, records []byte, arrived func(int64)) error {
	passed := m.passed(arrived)
	if err := m.begin(ctx, passed); err != nil {
		return err
	}
	if err := m.writeDue(ctx, passed); err != nil {
		return err
	}
	for len(records) > 0 {
		if m.datagrams != nil && m.since >= resendAfter {
			if err := m.writeTemplates(ctx, passed); err != nil {
				return err
			}
		}
		message, rest := m.messages.Next(records)
		end := m.records.Add(int64(len(records) - len(rest)))
		m.flight.add(passage{m.link.position() + int64(len(message)), end})
		m.since++
		if err := m.link.write(ctx, message, passed); err != nil {
			return err
		}
		records = rest
	}
	return nil
}

// passed translates positions on the link into those among the records.
func (m *messageLink) passed(arrived func(int64)) func(int64) {
	return func(position int64) {
		if last, landed := m.flight.land(func(p *passage) bool { return p.end <= position }); landed {
			arrived(last.records)
		}
	}
}

// begin writes what a connection begins with. Over UDP it waits for somebody to say that
// nobody listens, so that this costs templates and no flows.
func (m *messageLink) begin(ctx context.Context, passed func(int64)) error {
	if m.begun {
		return nil
	}
	m.begun, m.told = true, time.Now()
	if err := m.writeTemplates(ctx, passed); err != nil || m.datagrams == nil {
		return err
	}
	return m.datagrams.await(ctx, passed)
}

func (m *messageLink) writeTemplates(ctx context.Context, passed func(int64)) error {
	m.since = 0
	return m.writeOwn(ctx, m.templates, passed)
}

// writeStatistics tells how many flows were exported and refused, and of the ledger.
func (m *messageLink) writeStatistics(ctx context.Context, passed func(int64)) error {
	m.told = time.Now()
	m.scratch = m.statistics(m.scratch[:0], m.messages)
	return m.writeOwn(ctx, m.scratch, passed)
}

// writeOwn writes records that are of no flow.
func (m *messageLink) writeOwn(ctx context.Context, records []byte, passed func(int64)) error {
	for len(records) > 0 {
		var message []byte
		message, records = m.messages.Next(records)
		if err := m.link.write(ctx, message, passed); err != nil {
			return err
		}
	}
	return nil
}

// look implements link.
func (m *messageLink) look(arrived func(int64)) error { return m.link.look(m.passed(arrived)) }

// tell implements teller.
func (m *messageLink) tell(ctx context.Context, arrived func(int64)) error {
	return m.writeDue(ctx, m.passed(arrived))
}

func (m *messageLink) writeDue(ctx context.Context, passed func(int64)) error {
	if time.Since(m.told) < m.every {
		return nil
	}
	if m.datagrams != nil {
		if err := m.writeTemplates(ctx, passed); err != nil {
			return err
		}
	}
	return m.writeStatistics(ctx, passed)
}

// finish implements teller.
func (m *messageLink) finish(ctx context.Context, arrived func(int64)) error {
	if m.finished {
		return nil
	}
	m.finished = true
	return m.writeStatistics(ctx, m.passed(arrived))
}

// position implements link.
func (m *messageLink) position() int64 { return m.records.Load() }
