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

// An ipfixFile makes messages of flows, one a flow, as they are in a file (RFC 5655).
type ipfixFile struct {
	*ipfix.Encoder
	records []byte // of one flow

	mu       sync.Mutex // a file that is reopened has a header made meanwhile
	messages *ipfix.Messages
}

func newIPFIXFile(columns []feature.Column, o *ipfix.Options) *ipfixFile {
	return &ipfixFile{Encoder: ipfix.NewEncoder(columns, o, ipfix.StreamOctets), messages: ipfix.NewMessages(o, ipfix.StreamOctets, time.Now)}
}

// appendHeader implements encoder.
func (e *ipfixFile) appendHeader(dst []byte) []byte {
	return e.appendMessages(dst, e.AppendTemplates(nil))
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
		message, records = e.messages.Next(records)
		dst = append(dst, message...)
	}
	return dst
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
