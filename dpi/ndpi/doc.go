// Package ndpi is libndpi, 4.2 to 5.x, as far as weir uses it: a detection
// module is shown the first packets of a flow and gives a verdict over it. It
// runs in weir's DPI process only (package worker), since it is C on bytes that
// strangers wrote.
//
// The C shim is in four files over shim.h: module.c (the library and its
// modules), flow.c (a flow under inspection), details.c (what is kept of it
// beside the label) and memory.c (how much it holds). What differs between
// releases of the library is in release.h, chosen by what the compiler was asked
// of the library's headers, or else by the release in them.
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
	// Crowded: the library holds more than Bound said.
	Crowded
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

// Details are what else the library learnt of a flow. Texts are as a Result's;
// 0 and empty is what it did not learn, or its release does not tell.
type Details struct {
	Risks                uint64 // bits, named by Module.Risks
	RiskScore            uint16
	Breed                []byte
	TLSVersion           uint16 // as on the wire
	TLSCipher            uint16
	JA4                  []byte // since 4.10
	ALPNOffered          []byte // since 4.6, as ALPNChosen
	ALPNChosen           []byte
	CertificateIssuer    []byte
	CertificateSubject   []byte
	CertificateNotBefore uint32 // seconds since 1970
	CertificateNotAfter  uint32
	CertificateSHA1      []byte // octets
	HTTPMethod           []byte
	HTTPURL              []byte
	HTTPStatus           uint16
	HTTPServer           []byte // since 4.6
	HTTPRequestType      []byte
	OperatingSystem      []byte
	SSHClient            []byte
	SSHServer            []byte
	HASSH                []byte
	HASSHServer          []byte
	DHCPFingerprint      []byte
	DHCPClass            []byte
	BitTorrentHash       []byte // octets
}
