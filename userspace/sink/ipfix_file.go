package sink

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/weirflow/weir/userspace/feature"
	"github.com/weirflow/weir/userspace/sink/ipfix"
)

// An ipfixFile makes messages of flows, one a flow, as they are in a file (RFC 5655). Where
// the sequence number belongs they have how many data records they hold: which message is
// in the file, and after which, is known when the stream takes it.
type ipfixFile struct {
	*ipfix.Encoder
	records []byte // of one flow

	mu       sync.Mutex // a file that is reopened has a header made meanwhile
	messages *ipfix.Messages
}

func newIPFIXFile(columns []feature.Column, o *ipfix.Options) *ipfixFile {
	octets := o.Octets(ipfix.StreamOctets)
	return &ipfixFile{Encoder: ipfix.NewEncoder(columns, o, octets), messages: ipfix.NewMessages(o, octets, time.Now)}
}

// appendHeader implements encoder.
func (e *ipfixFile) appendHeader(dst []byte) []byte {
	return e.appendMessages(dst, e.AppendFlowTemplates(nil))
}

// appendSuccession is appendHeader where messages come before: their templates end first,
// since those that follow have the same ids.
func (e *ipfixFile) appendSuccession(dst []byte) []byte {
	return e.appendHeader(e.appendMessages(dst, ipfix.AppendWithdrawal(nil)))
}

// appendFlow implements encoder.
func (e *ipfixFile) appendFlow(dst []byte, r *feature.Row, g *guard) []byte {
	e.records = ipfixEncoder{e.Encoder}.appendFlow(e.records[:0], r, g)
	return e.appendMessages(dst, e.records)
}

func (e *ipfixFile) appendMessages(dst, records []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(records) > 0 {
		var message []byte
		e.messages.Restart()
		message, records = e.messages.Next(records)
		at := len(dst) + ipfix.SequenceAt
		dst = append(dst, message...)
		binary.BigEndian.PutUint32(dst[at:], e.messages.Sequence())
	}
	return dst
}

// A sequence numbers the messages of a file. Its value is the next number.
type sequence uint32

// number gives messages their numbers, in the order in which they are in the file.
func (s *sequence) number(messages []byte) {
	for len(messages) > 0 {
		at := messages[ipfix.SequenceAt:]
		records := binary.BigEndian.Uint32(at)
		binary.BigEndian.PutUint32(at, uint32(*s))
		*s += sequence(records)
		messages = messages[binary.BigEndian.Uint16(messages[2:]):]
	}
}

// first is the number of the first of some messages.
func (s *sequence) first(messages []byte) sequence {
	if len(messages) == 0 {
		return *s
	}
	return sequence(binary.BigEndian.Uint32(messages[ipfix.SequenceAt:]))
}

// lastMessageEnd is where the last message ends that is whole. Only the messages
// themselves tell where they end.
func lastMessageEnd(file *os.File, _ int64) (end int64, err error) {
	r := bufio.NewReaderSize(file, flushAt)
	for {
		header, err := r.Peek(4)
		if err != nil {
			return end, notEnd(err)
		}
		version, length := binary.BigEndian.Uint16(header), int(binary.BigEndian.Uint16(header[2:]))
		if version != ipfix.Version || length < ipfix.HeaderOctets {
			return 0, fmt.Errorf("what is %d octets into it is no IPFIX message", end)
		}
		if _, err := r.Discard(length); err != nil {
			return end, notEnd(err)
		}
		end += int64(length)
	}
}

func notEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
