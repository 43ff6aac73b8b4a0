package worker

import (
	chain "container/list"
	"strings"

	"github.com/weirflow/weir/dpi/handshake"
	"github.com/weirflow/weir/dpi/message"
	"github.com/weirflow/weir/userspace"
)

// readingOctetsMax bounds the octets of hellos that have not come whole, of all
// flows. When it is reached, the flow that was fed least recently is given up.
const readingOctetsMax = 32 << 20

// The ports at which datagrams are taken for DNS: unicast, multicast, LLMNR.
const (
	portDNS   = 53
	portMDNS  = 5353
	portLLMNR = 5355
)

// answerSamples is how many more samples are waited for the other side's answer,
// when nDPI wants no more: neither a QUIC hello nor a STUN request need get one
// that can be read.
const answerSamples = 8

// A reading is what weir itself reads off a flow's first packets, where nDPI
// does not tell it, or not in every release.
type reading struct {
	streams [2]handshake.Stream // by direction
	quic    [2]handshake.QUIC   // the client's, the server's
	dtls    handshake.DTLS
	version uint32 // of the first QUIC long header
	client  *offer
	server  *handshake.ServerHello
	dns     message.DNS
	dnsPort bool // dns was read at a port of DNS
	stun    message.STUN
	rtp     message.RTP
	hasRTP  bool

	asked  bool  // a STUN request came
	waited uint8 // samples since an answer was to be waited for, up to answerSamples

	held  int            // octets
	place *chain.Element // among those that hold some
}

// An offer is what is kept of a client's hello, which itself may be of 16 KB.
type offer struct {
	transport             handshake.Transport
	version               uint16
	serverName, alpn, ja4 string
	encrypted             string // userspace.L7Details' EncryptedHello
}

func offerOf(h *handshake.ClientHello, over handshake.Transport) *offer {
	o := &offer{transport: over, version: h.Newest(), ja4: h.JA4(over),
		serverName: short(h.ServerName), alpn: short(strings.Join(h.ALPN, ","))}
	switch {
	case h.ECH:
		o.encrypted = "ECH"
	case h.ESNI:
		o.encrypted = "ESNI"
	}
	return o
}

// short is a stranger's text as UTF-8, as far as a verdict holds it.
func short(t string) string { return strings.Clone(text(t[:min(len(t), factMax)])) }

// take reads a packet.
func (r *reading) take(s *segment, reverse bool) {
	switch s.protocol {
	case protocolTCP:
		r.segment(s, reverse)
	case protocolUDP:
		r.datagram(s, reverse)
	}
	if r.unanswered() && r.waited < answerSamples {
		r.waited++
	}
}

func (r *reading) segment(s *segment, reverse bool) {
	mine, other := &r.streams[0], &r.streams[1]
	if reverse {
		mine, other = other, mine
	}
	if s.flags&flagSYN != 0 {
		s.sequence++
		mine.Begin(s.sequence)
	}
	if len(s.payload) == 0 {
		return
	}
	if s.flags&flagACK != 0 {
		other.Begin(s.acknowledgement)
	}
	if mine.Done() {
		return
	}
	if s.has(portDNS) {
		mine.Framing, r.dnsPort = message.FrameDNS, true
	}
	mine.Add(s.sequence, s.payload)
	if m := mine.Message(); m != nil {
		if mine.Framing != nil {
			learnDNS(&r.dns, m)
		} else {
			r.hello(m)
		}
		mine.Drop()
	}
}

// dnsSoFar is what DNS messages tell, those included that are not whole and may
// never be: a response that is cut has its first answers.
func (r *reading) dnsSoFar() message.DNS {
	dns := r.dns
	for i := range r.streams {
		if s := &r.streams[i]; s.Framing != nil && !s.Done() {
			learnDNS(&dns, message.BegunDNS(s.Begun()))
		}
	}
	return dns
}

// hello reads the first message of a TCP stream. One that contradicts itself
// is as good as none.
func (r *reading) hello(m []byte) {
	if h, err := handshake.ParseClientHello(m, false); err == nil && r.client == nil {
		r.client = offerOf(h, handshake.OverTCP)
	} else if h, err := handshake.ParseServerHello(m); err == nil && r.server == nil {
		r.server = h
	}
}

func (r *reading) datagram(s *segment, reverse bool) {
	b := s.payload
	switch {
	case len(b) == 0:
	case s.has(portDNS, portMDNS, portLLMNR):
		r.dnsPort = true
		learnDNS(&r.dns, b)
	case handshake.IsDTLS(b):
		r.datagramDTLS(b)
	case handshake.QUICVersion(b) != 0:
		r.datagramQUIC(b, reverse)
	default:
		r.datagramOfAnyPort(b)
	}
}

// datagramOfAnyPort reads what may be STUN, RTP or DNS. Of the latter two little
// tells; they count only under a label of nDPI's.
func (r *reading) datagramOfAnyPort(b []byte) {
	if stun, ok := message.ReadSTUN(b); ok {
		r.learnSTUN(stun)
		return
	}
	if rtp, ok := message.ReadRTP(b); ok && !r.hasRTP {
		r.rtp, r.hasRTP = rtp, true
	}
	learnDNS(&r.dns, b)
}

func (r *reading) datagramDTLS(b []byte) {
	r.dtls.Datagram(b)
	m := r.dtls.Message()
	if m == nil {
		return
	}
	if h, err := handshake.ParseClientHello(m, true); err == nil && r.client == nil {
		r.client = offerOf(h, handshake.OverDTLS)
	}
	r.dtls.Drop()
}

func (r *reading) datagramQUIC(b []byte, reverse bool) {
	if r.version == 0 {
		r.version = handshake.QUICVersion(b)
	}
	if reverse {
		r.quic[1].Server(&r.quic[0])
		r.quic[1].Datagram(b)
		if m := r.quic[1].Message(); m != nil {
			r.hello(m)
			r.quic[1].Drop()
		}
		return
	}
	r.quic[0].Datagram(b)
	if m := r.quic[0].Message(); m != nil {
		if h, err := handshake.ParseClientHello(m, false); err == nil && r.client == nil {
			r.client, r.version = offerOf(h, handshake.OverQUIC), r.quic[0].Version()
		}
		r.quic[0].Drop()
	}
}

// learnDNS reads a message, and keeps what is asked for first and the first response
// to it.
func learnDNS(kept *message.DNS, b []byte) {
	d, ok := message.ReadDNS(b)
	switch {
	case !ok:
	case kept.Query == "":
		*kept = d
	case d.Response && !kept.Response && d.Query == kept.Query && d.Type == kept.Type:
		*kept = d
	}
}

func (r *reading) learnSTUN(s message.STUN) {
	r.asked = r.asked || s.Request
	if s.Software != "" {
		r.stun.Software = s.Software
	}
	if s.Realm != "" {
		r.stun.Realm = s.Realm
	}
	if s.Mapped.IsValid() && !r.stun.Mapped.IsValid() {
		r.stun.Mapped = s.Mapped
	}
}

// wants tells whether a hello has begun and is not whole, or is to be answered.
func (r *reading) wants() bool {
	return r.size() > 0 || r.unanswered() && r.waited < answerSamples
}

// unanswered tells whether the other side's answer would say more.
func (r *reading) unanswered() bool {
	hello := r.client != nil && r.client.transport == handshake.OverQUIC && !r.quic[1].Done()
	return hello || r.asked && !r.stun.Mapped.IsValid()
}

// size is the octets that are held for hellos that are not whole.
func (r *reading) size() (n int) {
	for i := range r.streams {
		if !r.streams[i].Done() {
			n += r.streams[i].Size()
		}
	}
	for i := range r.quic {
		if !r.quic[i].Done() {
			n += r.quic[i].Size()
		}
	}
	if !r.dtls.Done() {
		n += r.dtls.Size()
	}
	return n
}

// drop gives up what is not whole.
func (r *reading) drop() {
	r.streams[0].Drop()
	r.streams[1].Drop()
	r.quic[0].Drop()
	r.quic[1].Drop()
	r.dtls.Drop()
}

// readings are those that hold octets, the one fed last in front.
type readings struct {
	list    chain.List
	octets  int
	dropped uint64
	spare   []*reading // as many as there were flows under inspection
}

// settle accounts for what a reading holds after it was fed, or is done with,
// and keeps to the bound.
func (rs *readings) settle(r *reading) {
	held := r.size()
	rs.octets += held - r.held
	r.held = held
	switch {
	case held == 0 && r.place != nil:
		rs.list.Remove(r.place)
		r.place = nil
	case held > 0 && r.place == nil:
		r.place = rs.list.PushFront(r)
	case held > 0:
		rs.list.MoveToFront(r.place)
	}
	for rs.octets > readingOctetsMax {
		last := rs.list.Back().Value.(*reading)
		last.drop()
		rs.dropped++
		rs.octets -= last.held
		last.held = 0
		rs.list.Remove(last.place)
		last.place = nil
	}
}

// take is a reading for a flow.
func (rs *readings) take() *reading {
	n := len(rs.spare)
	if n == 0 {
		return new(reading)
	}
	r := rs.spare[n-1]
	rs.spare = rs.spare[:n-1]
	return r
}

// giveBack ends a reading: a flow that has its verdict holds none.
func (rs *readings) giveBack(r *reading) {
	r.drop()
	rs.settle(r)
	*r = reading{}
	rs.spare = append(rs.spare, r)
}

// inspectItself feeds the flow's reading, where details are asked for.
func (c *Classifier) inspectItself(e *entry, s *userspace.Sample) {
	if !c.details {
		return
	}
	seg, ok := splitPacket(s.Packet)
	if !ok {
		return
	}
	if e.reading == nil {
		e.reading = c.readings.take()
	}
	e.reading.take(&seg, s.Reverse)
	c.readings.settle(e.reading)
}
