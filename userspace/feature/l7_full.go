package feature

import (
	"strings"

	"github.com/weirflow/weir/userspace"
)

// unlearnt is what the columns say of a flow of which nothing was learnt beside
// the label.
var unlearnt userspace.L7Details

func details(r *Row) *userspace.L7Details {
	if r.L7 == nil || r.L7.Details == nil {
		return &unlearnt
	}
	return r.L7.Details
}

// The release of libndpi from which a column is filled, for those of nDPI; and
// the word for those that weir reads itself, with any release or in its place.
const (
	since42 = "4.2"
	since46 = "4.6"
	itself  = "weir itself"
	since   = "weir itself; nDPI from "
)

func l7FullColumns() []Column {
	columns := []Column{
		{Field: Field{Name: "l7_status", Type: "text", Definition: "why there is no label: not_sampled, evicted, engine_crashed or quarantined; empty where classification worked", Learnt: itself},
			Text: func(dst []byte, r *Row) []byte { return append(dst, verdict(r).Reason...) }},
		learntNumber("l7_samples", "u8", "packets that classification looked at", itself, "", func(d *userspace.L7Details) uint32 { return d.Samples }),
		learntText("application_breed", "nDPI's judgement of the application: Safe, Acceptable, Fun, Unsafe, Potentially Dangerous, Dangerous, Tracker/Ads, Unrated", since42, "",
			func(d *userspace.L7Details) string { return d.Breed }),
		learntList("risks", "nDPI's names for what is risky about the flow", since42, func(d *userspace.L7Details) []string { return d.Risks }),
		learntNumber("risk_score", "u32", "nDPI's weight of the risks", since42, "", func(d *userspace.L7Details) uint32 { return d.RiskScore }),
	}
	for _, more := range [][]Column{tlsColumns(), certificateColumns(), httpColumns(), dnsColumns(), otherColumns()} {
		columns = append(columns, more...)
	}
	return inGroup(GroupL7Full, sourceWeir, columns)
}

func tlsColumns() []Column {
	return []Column{
		learntText("tls_server_name", "TLS, DTLS, QUIC: the server's name as the client sends it, in full", itself, "",
			func(d *userspace.L7Details) string { return d.TLSServerName }),
		learntText("tls_version", "TLS, DTLS, QUIC: the version that the server chose, or else the client offers, as in TLSv1.3", since+since42, "",
			func(d *userspace.L7Details) string { return d.TLSVersion }),
		learntText("tls_cipher", "TLS, DTLS, QUIC: the cipher suite that the server chose, by its IANA name", since+since42, "",
			func(d *userspace.L7Details) string { return d.TLSCipher }),
		learntText("tls_alpn_offered", "TLS, DTLS, QUIC: protocols that the client offers (ALPN), separated by commas", since+since46, "",
			func(d *userspace.L7Details) string { return d.ALPNOffered }),
		learntText("tls_alpn_chosen", "TLS up to 1.2: the protocol that the server chose; later versions encrypt it", since+since46, "",
			func(d *userspace.L7Details) string { return d.ALPNChosen }),
		learntText("tls_encrypted_hello", "TLS, DTLS, QUIC: ECH or ESNI where the client sends an encrypted hello or server name, or pretends to", itself, "",
			func(d *userspace.L7Details) string { return d.EncryptedHello }),
		learntText("ja4", "TLS, DTLS, QUIC: JA4 of the client", since+"4.10", "",
			func(d *userspace.L7Details) string { return d.JA4 }),
		learntText("quic_version", "QUIC: the client's version, as in 1, 2, draft-29, Q046, else in hexadecimal", itself, "",
			func(d *userspace.L7Details) string { return d.QUICVersion }),
	}
}

func certificateColumns() []Column {
	return []Column{
		learntText("tls_certificate_issuer", "TLS up to 1.2: the issuer's name in the server's certificate", since42, "",
			func(d *userspace.L7Details) string { return d.CertificateIssuer }),
		learntText("tls_certificate_subject", "TLS up to 1.2: the subject's name in the server's certificate", since42, "",
			func(d *userspace.L7Details) string { return d.CertificateSubject }),
		learntNumber("tls_certificate_not_before", "u32", "TLS up to 1.2: when the server's certificate becomes valid", since42, "s since 1970-01-01 UTC",
			func(d *userspace.L7Details) uint32 { return d.CertificateNotBefore }),
		learntNumber("tls_certificate_not_after", "u32", "TLS up to 1.2: when the server's certificate expires", since42, "s since 1970-01-01 UTC",
			func(d *userspace.L7Details) uint32 { return d.CertificateNotAfter }),
		learntText("tls_certificate_sha1", "TLS up to 1.2: SHA-1 of the server's certificate, in hexadecimal", since42, "",
			func(d *userspace.L7Details) string { return d.CertificateSHA1 }),
	}
}

func httpColumns() []Column {
	return []Column{
		learntText("http_method", "HTTP: method of the request", since42, "httpRequestMethod (459)",
			func(d *userspace.L7Details) string { return d.HTTPMethod }),
		learntText("http_url", "HTTP: host and target of the request, the first 1023 octets", since42, "httpRequestTarget (461)",
			func(d *userspace.L7Details) string { return d.HTTPURL }),
		{Field: Field{Name: "http_status", Type: "u16", Definition: "HTTP: status of the response, 0 without one", IPFIX: "httpStatusCode (457)", Learnt: since42},
			Uint: func(r *Row) uint64 { return uint64(details(r).HTTPStatus) }},
		learntText("http_server", "HTTP: the server's software", since46, "",
			func(d *userspace.L7Details) string { return d.HTTPServer }),
		learntText("http_request_content_type", "HTTP: content type of the request", since42, "",
			func(d *userspace.L7Details) string { return d.HTTPRequestContentType }),
		learntText("operating_system", "HTTP, QUIC: the client's, from its user agent", since42, "",
			func(d *userspace.L7Details) string { return d.OperatingSystem }),
	}
}

func dnsColumns() []Column {
	return []Column{
		learntText("dns_query", "DNS, mDNS, LLMNR: the name that is asked for first", itself, "",
			func(d *userspace.L7Details) string { return d.DNSQuery }),
		learntText("dns_query_type", "DNS: what is asked for, as in AAAA", itself, "",
			func(d *userspace.L7Details) string { return d.DNSType }),
		learntText("dns_response_code", "DNS: the response's code, as in NXDOMAIN; empty without a response", itself, "",
			func(d *userspace.L7Details) string { return d.DNSCode }),
		learntList("dns_answers", "DNS: addresses, names and texts of the response, the first 16", itself, func(d *userspace.L7Details) []string { return d.DNSAnswers }),
	}
}

func otherColumns() []Column {
	return []Column{
		learntText("ssh_client", "SSH: the client's software", since42, "", func(d *userspace.L7Details) string { return d.SSHClient }),
		learntText("ssh_server", "SSH: the server's software", since42, "", func(d *userspace.L7Details) string { return d.SSHServer }),
		learntText("hassh", "SSH: HASSH of the client", since42, "", func(d *userspace.L7Details) string { return d.HASSH }),
		learntText("hassh_server", "SSH: HASSH of the server", since42, "", func(d *userspace.L7Details) string { return d.HASSHServer }),
		learntText("dhcp_fingerprint", "DHCP: the parameters that the client asks for (option 55)", since42, "", func(d *userspace.L7Details) string { return d.DHCPFingerprint }),
		learntText("dhcp_class", "DHCP: the client's class (option 60)", since42, "", func(d *userspace.L7Details) string { return d.DHCPClass }),
		learntText("stun_software", "STUN: software that a message names", itself, "", func(d *userspace.L7Details) string { return d.STUNSoftware }),
		learntText("stun_realm", "STUN: realm that a message names", itself, "", func(d *userspace.L7Details) string { return d.STUNRealm }),
		learntText("stun_mapped_address", "STUN: the client's address and port as the server saw them", itself, "", func(d *userspace.L7Details) string { return d.STUNMapped }),
		learntText("rtp_payload_type", "RTP: payload type of the first packet, RFC 3551's number", itself, "", func(d *userspace.L7Details) string { return d.RTPPayloadType }),
		learntText("rtp_source", "RTP: synchronization source (SSRC) of the first packet, in hexadecimal", itself, "", func(d *userspace.L7Details) string { return d.RTPSource }),
		learntText("bittorrent_hash", "BitTorrent: hash of what is shared, in hexadecimal", since42, "", func(d *userspace.L7Details) string { return d.BitTorrentHash }),
	}
}

func learntText(name, definition, learnt, ipfix string, of func(*userspace.L7Details) string) Column {
	return Column{Field: Field{Name: name, Type: "text", Definition: definition, IPFIX: ipfix, Learnt: learnt},
		Text: func(dst []byte, r *Row) []byte { return append(dst, of(details(r))...) }}
}

// learntList is a text of elements, each behind a semicolon but the first. A
// semicolon within one is written as a comma.
func learntList(name, definition, learnt string, of func(*userspace.L7Details) []string) Column {
	return Column{Field: Field{Name: name, Type: "text", Definition: definition + "; separated by semicolons", Learnt: learnt},
		Text: func(dst []byte, r *Row) []byte {
			for i, element := range of(details(r)) {
				if i > 0 {
					dst = append(dst, ';')
				}
				dst = append(dst, strings.ReplaceAll(element, ";", ",")...)
			}
			return dst
		}}
}

func learntNumber(name, kind, definition, learnt, unit string, of func(*userspace.L7Details) uint32) Column {
	return Column{Field: Field{Name: name, Type: kind, Unit: unit, Definition: definition, Learnt: learnt},
		Uint: func(r *Row) uint64 { return uint64(of(details(r))) }}
}
