package userspace

// L7 is the verdict of classification over one flow; nfstream's nine columns.
// Every string is valid UTF-8.
type L7 struct {
	ApplicationName         string
	ApplicationCategoryName string
	ApplicationIsGuessed    bool
	// ApplicationConfidence is nDPI's, in numbers that do not depend on its
	// release: those of 4.2, and behind them what newer ones added. 0 unknown, 1
	// match by port, 2 match by IP, 3 DPI cache, 4 DPI, 5 partial DPI, 6 partial
	// DPI from cache, 7 nBPF, 8 aggressive DPI, 9 a rule of the user's.
	ApplicationConfidence uint8
	RequestedServerName   string
	ClientFingerprint     string
	ServerFingerprint     string
	UserAgent             string
	ContentType           string
	// Reason says why there is no label where the classifier failed, as in
	// "engine_crashed"; empty otherwise.
	Reason string
	// Details is what was learnt beside, nil where it was not asked for or
	// there is nothing.
	Details *L7Details
}

// L7Details is what a flow's first packets tell beside its label. Texts are
// valid UTF-8 and bounded; empty and 0 is what is not known.
type L7Details struct {
	// Samples counts the packets that were looked at.
	Samples uint32
	// Breed is nDPI's judgement of the application, as in "Acceptable".
	Breed string
	// Risks are nDPI's names, RiskScore their weight.
	Risks     []string
	RiskScore uint32

	// TLSServerName is the SNI as sent, where RequestedServerName holds its last
	// 79 octets in lower case, as nDPI does.
	TLSServerName string
	TLSVersion    string // as in "TLSv1.3"; the server's choice, or else the client's offer
	TLSCipher     string // the server's choice, by IANA's name
	ALPNOffered   string // separated by commas
	ALPNChosen    string
	// EncryptedHello is "ECH" or "ESNI" where the client sent one.
	EncryptedHello string
	JA4            string
	// QUICVersion is as in "1", "2" or "draft-29".
	QUICVersion string

	CertificateIssuer    string
	CertificateSubject   string
	CertificateNotBefore uint32 // seconds since 1970
	CertificateNotAfter  uint32
	CertificateSHA1      string // hexadecimal

	HTTPMethod             string
	HTTPURL                string
	HTTPStatus             uint32
	HTTPServer             string
	HTTPRequestContentType string
	OperatingSystem        string // of the user agent

	DNSQuery   string
	DNSType    string // as in "AAAA"
	DNSCode    string // as in "NXDOMAIN"; empty without a response
	DNSAnswers []string

	SSHClient   string
	SSHServer   string
	HASSH       string
	HASSHServer string

	DHCPFingerprint string
	DHCPClass       string

	STUNSoftware string
	STUNRealm    string
	STUNMapped   string // the client's address and port as the server saw them
	// RTPPayloadType is RFC 3551's number, RTPSource the SSRC in hexadecimal.
	RTPPayloadType string
	RTPSource      string

	BitTorrentHash string // hexadecimal
}
