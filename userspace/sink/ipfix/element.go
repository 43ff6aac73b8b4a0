package ipfix

import "github.com/netsampler/goflow2/v2/decoders/netflow"

// A kind is how a value is written.
type kind uint8

const (
	unsigned8 kind = iota
	unsigned16
	unsigned32
	unsigned64
	ntpTime // dateTimeNanoseconds: seconds since 1900, and a fraction in 2^-32
	text    // string of variable length
	mac
	ipv4
	ipv6
	outerVLAN // the only tag, or the outermost
	innerVLAN // the innermost of several, else 0
	typeAndCode
	tcpControlBits
	initiator // biflowDirection: the forward direction is the first packet's
)

// octets is the length of a value, variableLength for text.
func (k kind) octets() int {
	return [...]int{1, 2, 4, 8, 8, variableLength, 6, 4, 16, 2, 2, 2, 2, 1}[k]
}

// least is the length of a value, or of an empty text.
func (k kind) least() int {
	if k == text {
		return 1
	}
	return k.octets()
}

// variableLength stands in a template for a length that each record tells.
const variableLength = 0xffff

// A family is of which flows an element speaks: of those of either version of IP
// where it names none, of those with ports and of ICMP where it names neither. Each has
// a template: an ICMP type of 0 in all the others would be taken for a value.
type family uint8

const (
	ofAll  family = 0
	ofIPv4 family = 1 << iota
	ofIPv6
	ofPorts // or none of their own, but not ICMP
	ofICMP
)

// has tells whether a template has what is of another family.
func (f family) has(of family) bool { return f&of == of }

// An element is an information element and the columns that it has its value from. A
// template has it where there is such a column.
type element struct {
	id   uint16 // in IANA's registry
	kind kind
	in   family
	// both is of a record of both directions, forward and reverse are of a record of
	// one of them. Where there is no both, a biflow has forward; where there is no
	// forward, a record of one direction has both.
	both, forward, reverse string
	// paired is set if a biflow has reverse besides, as the reverse element.
	paired bool
}

// whole is of a flow, whichever its direction.
func whole(id uint16, k kind, in family, column string) element {
	return element{id: id, kind: k, in: in, both: column}
}

// end is of one end of a flow: against the first packet's direction, of the other.
func end(id uint16, k kind, in family, column, other string) element {
	return element{id: id, kind: k, in: in, forward: column, reverse: other}
}

// pair is of one direction.
func pair(id uint16, k kind, in family, suffix string) element {
	return element{id: id, kind: k, in: in, forward: "src2dst_" + suffix, reverse: "dst2src_" + suffix, paired: true}
}

// span is a time of the flow, or of one of its directions.
func span(id uint16, k kind, suffix string, paired bool) element {
	return element{id: id, kind: k, in: ofAll, both: "bidirectional_" + suffix,
		forward: "src2dst_" + suffix, reverse: "dst2src_" + suffix, paired: paired}
}

// What is in IANA's registry and not yet in the library's.
const (
	httpUserAgent   = 468
	httpContentType = 469
)

// elements are all that are sent, in this order. Some say the same twice, for collectors
// that read only one of two: the VLAN, ICMP type and code, and times. These come in
// nanoseconds and then in milliseconds, which are known best: a collector that keeps one
// of them keeps the last.
var elements = []element{
	end(netflow.IPFIX_FIELD_sourceIPv4Address, ipv4, ofIPv4, "src_ip", "dst_ip"),
	end(netflow.IPFIX_FIELD_destinationIPv4Address, ipv4, ofIPv4, "dst_ip", "src_ip"),
	end(netflow.IPFIX_FIELD_sourceIPv6Address, ipv6, ofIPv6, "src_ip", "dst_ip"),
	end(netflow.IPFIX_FIELD_destinationIPv6Address, ipv6, ofIPv6, "dst_ip", "src_ip"),
	end(netflow.IPFIX_FIELD_sourceTransportPort, unsigned16, ofPorts, "src_port", "dst_port"),
	end(netflow.IPFIX_FIELD_destinationTransportPort, unsigned16, ofPorts, "dst_port", "src_port"),
	whole(netflow.IPFIX_FIELD_icmpTypeCodeIPv4, typeAndCode, ofICMP|ofIPv4, "icmp_type"),
	whole(netflow.IPFIX_FIELD_icmpTypeCodeIPv6, typeAndCode, ofICMP|ofIPv6, "icmp_type"),
	whole(netflow.IPFIX_FIELD_icmpTypeIPv4, unsigned8, ofICMP|ofIPv4, "icmp_type"),
	whole(netflow.IPFIX_FIELD_icmpCodeIPv4, unsigned8, ofICMP|ofIPv4, "icmp_code"),
	whole(netflow.IPFIX_FIELD_icmpTypeIPv6, unsigned8, ofICMP|ofIPv6, "icmp_type"),
	whole(netflow.IPFIX_FIELD_icmpCodeIPv6, unsigned8, ofICMP|ofIPv6, "icmp_code"),
	whole(netflow.IPFIX_FIELD_protocolIdentifier, unsigned8, ofAll, "protocol"),
	whole(netflow.IPFIX_FIELD_ipVersion, unsigned8, ofAll, "ip_version"),
	whole(netflow.IPFIX_FIELD_vlanId, outerVLAN, ofAll, "vlan_outer_id"),
	whole(netflow.IPFIX_FIELD_dot1qVlanId, outerVLAN, ofAll, "vlan_outer_id"),
	whole(netflow.IPFIX_FIELD_dot1qCustomerVlanId, innerVLAN, ofAll, "vlan_id"),
	end(netflow.IPFIX_FIELD_sourceMacAddress, mac, ofAll, "src_mac", "dst_mac"),
	end(netflow.IPFIX_FIELD_destinationMacAddress, mac, ofAll, "dst_mac", "src_mac"),
	span(netflow.IPFIX_FIELD_flowStartNanoseconds, ntpTime, "first_seen_ns", true),
	span(netflow.IPFIX_FIELD_flowEndNanoseconds, ntpTime, "last_seen_ns", true),
	span(netflow.IPFIX_FIELD_flowStartMilliseconds, unsigned64, "first_seen_ms", false),
	span(netflow.IPFIX_FIELD_flowEndMilliseconds, unsigned64, "last_seen_ms", false),
	pair(netflow.IPFIX_FIELD_packetDeltaCount, unsigned64, ofAll, "packets"),
	pair(netflow.IPFIX_FIELD_octetDeltaCount, unsigned64, ofAll, "bytes"),
	whole(netflow.IPFIX_FIELD_flowEndReason, unsigned8, ofAll, "flow_end_reason"),
	whole(netflow.IPFIX_FIELD_flowId, unsigned64, ofAll, "flow_uid"),
	whole(netflow.IPFIX_FIELD_interfaceName, text, ofAll, "interface"),

	pair(netflow.IPFIX_FIELD_tcpControlBits, tcpControlBits, ofPorts, "fin_packets"),
	pair(netflow.IPFIX_FIELD_tcpSynTotalCount, unsigned64, ofPorts, "syn_packets"),
	pair(netflow.IPFIX_FIELD_tcpFinTotalCount, unsigned64, ofPorts, "fin_packets"),
	pair(netflow.IPFIX_FIELD_tcpRstTotalCount, unsigned64, ofPorts, "rst_packets"),
	pair(netflow.IPFIX_FIELD_tcpPshTotalCount, unsigned64, ofPorts, "psh_packets"),
	pair(netflow.IPFIX_FIELD_tcpAckTotalCount, unsigned64, ofPorts, "ack_packets"),
	pair(netflow.IPFIX_FIELD_tcpUrgTotalCount, unsigned64, ofPorts, "urg_packets"),
	pair(netflow.IPFIX_FIELD_tcpWindowSize, unsigned16, ofPorts, "initial_window"),
	pair(netflow.IPFIX_FIELD_minimumTTL, unsigned8, ofAll, "min_ttl"),
	pair(netflow.IPFIX_FIELD_maximumTTL, unsigned8, ofAll, "max_ttl"),

	whole(netflow.IPFIX_FIELD_applicationName, text, ofAll, "application_name"),
	whole(netflow.IPFIX_FIELD_applicationCategoryName, text, ofAll, "application_category_name"),
	whole(httpUserAgent, text, ofPorts, "user_agent"),
	whole(httpContentType, text, ofPorts, "content_type"),
	whole(netflow.IPFIX_FIELD_httpRequestMethod, text, ofPorts, "http_method"),
	whole(netflow.IPFIX_FIELD_httpRequestTarget, text, ofPorts, "http_url"),
	whole(netflow.IPFIX_FIELD_httpStatusCode, unsigned16, ofPorts, "http_status"),
}
