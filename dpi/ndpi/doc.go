// Package ndpi is libndpi, 4.2 and newer, as far as weir uses it: a detection
// module is shown the first packets of a flow and gives a verdict over it. It
// runs in weir's DPI process only (package worker), since it is C on bytes that
// strangers wrote.
//
// Without cgo, or with the build tag nodpi, the package builds but is not
// Available.
package ndpi

// State is what nDPI thinks of a flow after a packet.
type State uint8

// The bits of State.
const (
	// Known: the application is known.
	Known State = 1 << iota
	// Extra: more packets could tell more, such as a server's certificate.
	Extra
	// Rejected: the packet could have led nDPI astray and was not shown to it.
	Rejected
	// Memory: there is none for the flow.
	Memory
)

// Done tells whether further packets are of no use.
func (s State) Done() bool { return s&(Known|Extra) == Known }

// PacketMax is the most octets of a packet that nDPI takes.
const PacketMax = 1<<16 - 1

// A Result is the verdict over a flow. Its texts are UTF-8, what was not is
// dropped; they are valid until the Module's next Finish.
type Result struct {
	Guessed bool
	// Confidence is in the numbers of userspace.L7.
	Confidence        uint8
	ApplicationName   []byte // master and application, as in "TLS.GitHub"
	CategoryName      []byte
	ServerName        []byte // TLS SNI, HTTP host, DNS query, …
	ClientFingerprint []byte // JA3 (JA4 where nDPI has no JA3), HASSH, DHCP option 55
	ServerFingerprint []byte // JA3S, HASSH of the server
	UserAgent         []byte
	ContentType       []byte
}
