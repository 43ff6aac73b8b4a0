package message

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// answersMax bounds the answers that are read of a message.
const answersMax = 16

// A DNS is what a query or a response says (RFC 1035 section 4).
type DNS struct {
	// Query is the name that is asked for, without the final dot; in multicast
	// DNS, where a response has no question, the first name that is told.
	Query string
	// Type is what is asked for, as in "AAAA".
	Type string
	// Response tells a response from a query.
	Response bool
	// Code is a response's, as in "NXDOMAIN".
	Code string
	// Answers are a response's addresses, names and texts, in its order.
	Answers []string
}

// ReadDNS reads a message as it is in a datagram; false if it is none.
func ReadDNS(b []byte) (DNS, bool) {
	var p dnsmessage.Parser
	header, err := p.Start(b)
	if err != nil {
		return DNS{}, false
	}
	d := DNS{Response: header.Response}
	questions := 0
	for ; ; questions++ {
		q, err := p.Question()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return DNS{}, false
		}
		if questions == 0 {
			d.Query, d.Type = nameOf(q.Name), typeName(q.Type)
		}
	}
	if !d.Response {
		return d, questions > 0
	}
	d.Code = codeName(header.RCode)
	return d, d.readAnswers(&p) || questions > 0
}

const (
	// tcpHeader is a message's length, before it where messages come in a stream,
	// and dnsHeader the least that a message is.
	tcpHeader = 2
	dnsHeader = 12
	// overTCPMax is how much of a message in a stream is waited for: what is behind
	// it are more answers than are kept.
	overTCPMax = 8 << 10
)

// FrameDNS finds the first message of a stream (RFC 7766 section 8): nil where it is
// not all there, and more says whether it may be when more of the stream is.
func FrameDNS(b []byte) (message []byte, more bool) {
	if len(b) < tcpHeader {
		return nil, true
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < dnsHeader {
		return nil, false
	}
	end := tcpHeader + min(n, overTCPMax)
	if len(b) < end {
		return nil, true
	}
	return b[tcpHeader:end], false
}

// BegunDNS is what there is of a stream's first message, which is not whole.
func BegunDNS(b []byte) []byte { return b[min(len(b), tcpHeader):] }

// readAnswers reads what is there; a response that is cut keeps its first
// answers. It returns false without any.
func (d *DNS) readAnswers(p *dnsmessage.Parser) bool {
	for range answersMax {
		h, err := p.AnswerHeader()
		if err != nil {
			break
		}
		if d.Query == "" {
			d.Query, d.Type = nameOf(h.Name), typeName(h.Type)
		}
		answer, err := readAnswer(p, h.Type)
		if err != nil {
			break
		}
		d.Answers = append(d.Answers, answer)
	}
	return len(d.Answers) > 0
}

func readAnswer(p *dnsmessage.Parser, kind dnsmessage.Type) (string, error) {
	switch kind {
	case dnsmessage.TypeA:
		r, err := p.AResource()
		return netip.AddrFrom4(r.A).String(), err
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		return netip.AddrFrom16(r.AAAA).String(), err
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		return nameOf(r.CNAME), err
	case dnsmessage.TypeNS:
		r, err := p.NSResource()
		return nameOf(r.NS), err
	case dnsmessage.TypePTR:
		r, err := p.PTRResource()
		return nameOf(r.PTR), err
	case dnsmessage.TypeMX:
		r, err := p.MXResource()
		return nameOf(r.MX), err
	case dnsmessage.TypeSRV:
		r, err := p.SRVResource()
		return nameOf(r.Target) + ":" + strconv.Itoa(int(r.Port)), err
	case dnsmessage.TypeTXT:
		r, err := p.TXTResource()
		return clean(strings.Join(r.TXT, "")), err
	default:
		return typeName(kind), p.SkipAnswer()
	}
}

func nameOf(n dnsmessage.Name) string {
	return clean(strings.TrimSuffix(string(n.Data[:n.Length]), "."))
}

// typeNames are IANA's for the types that are common.
var typeNames = map[dnsmessage.Type]string{
	1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC",
	33: "SRV", 35: "NAPTR", 37: "CERT", 39: "DNAME", 41: "OPT", 43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3",
	51: "NSEC3PARAM", 52: "TLSA", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 64: "SVCB", 65: "HTTPS", 99: "SPF", 249: "TKEY", 250: "TSIG",
	251: "IXFR", 252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA",
}

// typeName is IANA's, or RFC 3597's for a type without a name.
func typeName(t dnsmessage.Type) string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(t))
}

var codeNames = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}

func codeName(c dnsmessage.RCode) string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "RCODE" + strconv.Itoa(int(c))
}
