package worker

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weirflow/weir/dpi/handshake"
	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/userspace"
)

// gather puts together what nDPI and weir's own reading learnt of a flow. Where
// both did, nDPI's stands.
func (c *Classifier) gather(e *entry) *userspace.L7Details {
	n, d := &c.found, &c.learnt
	*d = userspace.L7Details{Samples: uint32(e.samples), Risks: d.Risks[:0]}
	if e.flow != nil {
		c.fromNDPI(n, d)
	}
	if e.reading != nil {
		c.fromReading(e.reading, d)
	}
	return d
}

func (c *Classifier) fromNDPI(n *ndpi.Details, d *userspace.L7Details) {
	for i, name := range c.module.Risks() {
		if n.Risks>>i&1 != 0 {
			d.Risks = append(d.Risks, name)
		}
	}
	d.Breed, d.RiskScore = string(n.Breed), uint32(n.RiskScore)
	d.TLSVersion, d.TLSCipher = versionName(n.TLSVersion), cipherName(n.TLSCipher)
	d.JA4, d.ALPNOffered, d.ALPNChosen = string(n.JA4), string(n.ALPNOffered), string(n.ALPNChosen)
	d.CertificateIssuer, d.CertificateSubject = string(n.CertificateIssuer), string(n.CertificateSubject)
	d.CertificateNotBefore, d.CertificateNotAfter = n.CertificateNotBefore, n.CertificateNotAfter
	d.CertificateSHA1, d.BitTorrentHash = hex.EncodeToString(n.CertificateSHA1), hex.EncodeToString(n.BitTorrentHash)
	d.HTTPMethod, d.HTTPURL, d.HTTPStatus = string(n.HTTPMethod), string(n.HTTPURL), uint32(n.HTTPStatus)
	d.HTTPServer, d.HTTPRequestContentType = string(n.HTTPServer), string(n.HTTPRequestType)
	d.OperatingSystem = string(n.OperatingSystem)
	d.SSHClient, d.SSHServer = string(n.SSHClient), string(n.SSHServer)
	d.HASSH, d.HASSHServer = string(n.HASSH), string(n.HASSHServer)
	d.DHCPFingerprint, d.DHCPClass = string(n.DHCPFingerprint), string(n.DHCPClass)
}

func (c *Classifier) fromReading(r *reading, d *userspace.L7Details) {
	if r.client != nil {
		r.client.tell(d)
	}
	if h := r.server; h != nil && r.client != nil {
		d.ALPNChosen = either(d.ALPNChosen, text(h.ALPN))
		d.TLSCipher = either(d.TLSCipher, cipherName(h.Cipher))
		d.TLSVersion = versionName(h.Version)
	}
	if r.client != nil && r.client.transport == handshake.OverQUIC || c.isLabelled("QUIC") {
		d.QUICVersion = quicVersionName(r.version)
	}
	if r.dnsPort || c.isLabelled("DNS", "MDNS", "LLMNR") {
		dns := r.dnsSoFar()
		d.DNSQuery, d.DNSType, d.DNSCode, d.DNSAnswers = dns.Query, dns.Type, dns.Code, dns.Answers
	}
	d.STUNSoftware, d.STUNRealm = r.stun.Software, r.stun.Realm
	if r.stun.Mapped.IsValid() {
		d.STUNMapped = r.stun.Mapped.String()
	}
	// Two bits tell RTP from other datagrams; a label of nDPI's must as well.
	if r.hasRTP && c.isLabelled("RTP", "SRTP") {
		d.RTPPayloadType = strconv.Itoa(int(r.rtp.PayloadType))
		d.RTPSource = fmt.Sprintf("%08x", r.rtp.SSRC)
	}
}

// isLabelled tells whether nDPI's name for the flow, or for what it is in, is one
// of the names: DNScrypt is no DNS.
func (c *Classifier) isLabelled(names ...string) bool {
	master, app, _ := strings.Cut(string(c.result.ApplicationName), ".")
	return slices.Contains(names, master) || slices.Contains(names, app)
}

func (o *offer) tell(d *userspace.L7Details) {
	d.TLSServerName, d.EncryptedHello = o.serverName, o.encrypted
	d.ALPNOffered = either(d.ALPNOffered, o.alpn)
	d.JA4 = either(d.JA4, o.ja4)
	d.TLSVersion = either(d.TLSVersion, versionName(o.version))
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// text is a stranger's text as UTF-8.
func text(t string) string { return strings.ToValidUTF8(t, "") }

// versionName is nDPI's spelling of a version on the wire.
func versionName(v uint16) string {
	switch v {
	case 0:
		return ""
	case 0x0002:
		return "SSLv2"
	case 0x0300:
		return "SSLv3"
	case 0x0301:
		return "TLSv1"
	case 0x0302, 0x0303, 0x0304:
		return "TLSv1." + strconv.Itoa(int(v-0x0301))
	case 0xfeff:
		return "DTLSv1.0"
	case 0xfefd:
		return "DTLSv1.2"
	case 0xfefc:
		return "DTLSv1.3"
	}
	return fmt.Sprintf("0x%04x", v)
}

// cipherName is IANA's name, or the number.
func cipherName(v uint16) string {
	if v == 0 {
		return ""
	}
	return tls.CipherSuiteName(v)
}

func quicVersionName(v uint32) string {
	switch {
	case v == 0:
		return ""
	case v == handshake.QUICv1:
		return "1"
	case v == handshake.QUICv2:
		return "2"
	case v>>8 == 0xff0000:
		return "draft-" + strconv.Itoa(int(v&0xff))
	case v>>24 == 'Q' || v>>24 == 'T':
		return text(string([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}))
	}
	return fmt.Sprintf("0x%08x", v)
}
