package ipfix

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"github.com/weirflow/weir/userspace"
)

// The sets of records that tell of weir itself (RFC 7011, 4.1 to 4.3).
const (
	exportingSet = firstDataSet + uint16(len(families)) + iota
	meteringSet
	timeoutSet
)

// exporting are the elements of what was sent and what was not.
var exporting = []uint16{
	netflow.IPFIX_FIELD_exportedMessageTotalCount, netflow.IPFIX_FIELD_exportedOctetTotalCount, netflow.IPFIX_FIELD_exportedFlowRecordTotalCount,
	netflow.IPFIX_FIELD_notSentFlowTotalCount, netflow.IPFIX_FIELD_notSentPacketTotalCount, netflow.IPFIX_FIELD_notSentOctetTotalCount,
}

// metering are the elements of the ledger.
var metering = []uint16{
	netflow.IPFIX_FIELD_packetTotalCount, netflow.IPFIX_FIELD_octetTotalCount,
	netflow.IPFIX_FIELD_ignoredPacketTotalCount, netflow.IPFIX_FIELD_ignoredOctetTotalCount,
	netflow.IPFIX_FIELD_droppedPacketTotalCount, netflow.IPFIX_FIELD_droppedOctetTotalCount,
}

// A Refusal is what an output did not send.
type Refusal struct {
	Flows uint64
	userspace.Count
}

// appendStatisticsTemplates appends the templates of what weir tells of itself. Their
// scope is the observation domain.
func appendStatisticsTemplates(dst []byte) []byte {
	for _, t := range []struct {
		set      uint16
		elements []uint16
	}{{exportingSet, exporting}, {meteringSet, metering}} {
		var length int
		dst, length = beginRecord(dst, optionsTemplateSet)
		dst = binary.BigEndian.AppendUint16(dst, t.set)
		dst = binary.BigEndian.AppendUint16(dst, uint16(1+len(t.elements)))
		dst = binary.BigEndian.AppendUint16(dst, 1) // field is the scope
		dst = appendSpecifier(dst, netflow.IPFIX_FIELD_observationDomainId, unsigned32, false)
		for _, id := range t.elements {
			dst = appendSpecifier(dst, id, unsigned64, false)
		}
		dst = endRecord(dst, length)
	}
	return dst
}

// AppendExporting appends what the messages were, and what was refused meanwhile.
func (m *Messages) AppendExporting(dst []byte, r Refusal) []byte {
	return m.appendStatistics(dst, exportingSet, m.total, m.octets, m.flows, r.Flows, r.Packets, r.Octets)
}

// AppendMetering appends the lines of the ledger that are not about outputs: what was
// observed, what of it was ignored, and what was lost.
func (m *Messages) AppendMetering(dst []byte, l *userspace.Ledger) []byte {
	ignored, lost := l.IgnoredTotal(), l.Lost.Plus(l.LostWithConsumer)
	return m.appendStatistics(dst, meteringSet,
		l.Observed.Packets, l.Observed.Octets, ignored.Packets, ignored.Octets, lost.Packets, lost.Octets)
}

func (m *Messages) appendStatistics(dst []byte, set uint16, counts ...uint64) []byte {
	dst, length := beginRecord(dst, set)
	dst = binary.BigEndian.AppendUint32(dst, m.domain)
	for _, n := range counts {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return endRecord(dst, length)
}

// appendTimeouts appends when flows are closed, and the template of that. They do not
// change in a run, so that they go with the templates.
func appendTimeouts(dst []byte, o *Options) []byte {
	if o.Idle == 0 && o.Active == 0 {
		return dst
	}
	dst, length := beginRecord(dst, optionsTemplateSet)
	dst = binary.BigEndian.AppendUint16(dst, timeoutSet)
	dst = binary.BigEndian.AppendUint16(dst, 3)
	dst = binary.BigEndian.AppendUint16(dst, 1) // field is the scope
	dst = appendSpecifier(dst, netflow.IPFIX_FIELD_observationDomainId, unsigned32, false)
	dst = appendSpecifier(dst, netflow.IPFIX_FIELD_flowActiveTimeout, unsigned16, false)
	dst = appendSpecifier(dst, netflow.IPFIX_FIELD_flowIdleTimeout, unsigned16, false)
	dst, length = beginRecord(endRecord(dst, length), timeoutSet)
	dst = binary.BigEndian.AppendUint32(dst, o.Domain)
	dst = binary.BigEndian.AppendUint16(dst, seconds(o.Active))
	dst = binary.BigEndian.AppendUint16(dst, seconds(o.Idle))
	return endRecord(dst, length)
}

// seconds rounds up, since 0 would say that there is no timeout, and ends at the most that
// the element holds.
func seconds(d time.Duration) uint16 {
	return uint16(min((d+time.Second-1)/time.Second, math.MaxUint16))
}
