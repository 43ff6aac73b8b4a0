package feature

import "github.com/weirflow/weir/userspace"

// unclassified is what the columns say of a flow that nothing classified.
var unclassified = userspace.L7{ApplicationName: "Unknown", ApplicationCategoryName: "Unspecified"}

func verdict(r *Row) *userspace.L7 {
	if r.L7 == nil {
		return &unclassified
	}
	return r.L7
}

func l7Columns() []Column {
	columns := inGroup(GroupL7, sourceNFStream, []Column{
		l7Text("application_name", "nDPI's name for the protocol, MASTER.APP when both are known and differ; Unknown", "applicationName (96)",
			func(v *userspace.L7) string { return v.ApplicationName }),
		l7Text("application_category_name", "nDPI's category; Unspecified", "applicationCategoryName (372)",
			func(v *userspace.L7) string { return v.ApplicationCategoryName }),
		{Field: Field{Name: "application_is_guessed", Type: "u8", Definition: "1 when nDPI guessed from ports and addresses"}, Uint: isGuessed},
		{Field: Field{Name: "application_confidence", Type: "u8",
			Definition: "0 unknown, 1 match by port, 2 match by IP, 3 DPI cache, 4 DPI, 5 partial DPI, 6 partial DPI from cache, 7 nBPF, 8 aggressive DPI (nDPI 4.8), 9 rule of the user's (nDPI 4.10)"},
			Uint: func(r *Row) uint64 { return uint64(verdict(r).ApplicationConfidence) }},
		l7Text("requested_server_name", "TLS or QUIC SNI, HTTP Host, DNS query name, NetBIOS or DHCP host name", "",
			func(v *userspace.L7) string { return v.RequestedServerName }),
		l7Text("client_fingerprint", "TLS, DTLS, QUIC: JA3 of the client, JA4 from nDPI 4.14 on, which has no JA3; SSH: HASSH of the client; DHCP: option 55", "",
			func(v *userspace.L7) string { return v.ClientFingerprint }),
		l7Text("server_fingerprint", "TLS, DTLS, QUIC: JA3S; SSH: HASSH of the server", "",
			func(v *userspace.L7) string { return v.ServerFingerprint }),
		l7Text("user_agent", "HTTP, TLS, QUIC: user agent", "httpUserAgent (468)",
			func(v *userspace.L7) string { return v.UserAgent }),
		l7Text("content_type", "HTTP: content type", "httpContentType (469)",
			func(v *userspace.L7) string { return v.ContentType }),
	})
	for i := range columns {
		columns[i].Learnt = since42
	}
	return columns
}

func l7Text(name, definition, ipfix string, of func(*userspace.L7) string) Column {
	return Column{Field: Field{Name: name, Type: "text", Definition: definition, IPFIX: ipfix},
		Text: func(dst []byte, r *Row) []byte { return append(dst, of(verdict(r))...) }}
}

func isGuessed(r *Row) uint64 {
	if verdict(r).ApplicationIsGuessed {
		return 1
	}
	return 0
}
