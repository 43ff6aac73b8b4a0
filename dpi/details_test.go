package dpi_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
)

// verdicts are those over the flows of a capture, in the order in which they
// end.
func verdicts(t *testing.T, path string, o dpi.Options) (all []*userspace.L7) {
	t.Helper()
	w := start(t, o)
	defer w.Close()
	m := openMeter(t, path, w, true)
	for f, err := range w.Wrap(m, m).Flows(context.Background()) {
		if err == nil {
			all = append(all, f.L7)
		}
	}
	if s := w.Stats(); s.Crashes+s.Hangs > 0 {
		t.Errorf("%s: %+v", path, s)
	}
	return all
}

// TestDetailsOfRealTraffic looks for one flow in each capture that has all of
// the details.
func TestDetailsOfRealTraffic(t *testing.T) {
	needNDPI(t)
	for capture, want := range map[string]userspace.L7Details{
		"tls12/tls12.pcap": {TLSServerName: "www.weir.example", TLSVersion: "TLSv1.2", TLSCipher: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ALPNOffered: "http/1.1",
			ALPNChosen: "http/1.1", JA4: "t12d2807h1_d943125447b4_a44c6288192a", CertificateIssuer: "CN=www.weir.example",
			CertificateSHA1: "67c23a3004e1b7ee687cfeb31f037a2c9e1fffdc", CertificateNotBefore: 1795536944},
		"http2-tls13/http2-tls13.pcap": {TLSServerName: "static.weir.example", TLSVersion: "TLSv1.3", TLSCipher: "TLS_AES_256_GCM_SHA384",
			ALPNOffered: "h2,http/1.1", JA4: "t13d0412h2_16476d049b0b_85302d7e289e"},
		"quic/quic.pcap":       {TLSServerName: "www.weir.example", QUICVersion: "1", TLSVersion: "TLSv1.3", TLSCipher: "TLS_AES_128_GCM_SHA256", ALPNOffered: "h3", JA4: "q13d0313h3_55b375c5d22e_f902b76752af"},
		"http1/http1.pcap":     {HTTPMethod: "GET", HTTPURL: "www.weir.example/absent", HTTPStatus: 404},
		"dns-udp/dns-udp.pcap": {DNSQuery: "weir.example", DNSType: "MX", DNSCode: "NOERROR", DNSAnswers: []string{"mail.weir.example"}},
		"dns-tcp/dns-tcp.pcap": {DNSQuery: "www.weir.example", DNSType: "A", DNSCode: "NOERROR", DNSAnswers: []string{"192.0.2.2"}},
		"ssh/ssh.pcap":         {SSHClient: "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10", SSHServer: "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10"},
		"dhcp/dhcp.pcap":       {DHCPFingerprint: "1,3,6,12,15,28,42", DHCPClass: "udhcp 1.35.0"},
	} {
		t.Run(filepath.Base(capture), func(t *testing.T) {
			if !isReferences() {
				// Texts that the library makes up, and its own JA4 from 4.10 on.
				want.JA4, want.HTTPURL, want.CertificateIssuer = "", "", ""
			}
			all := verdicts(t, "../testdata/"+capture, dpi.Options{Details: true})
			if !slices.ContainsFunc(all, func(l *userspace.L7) bool { return l.Details != nil && holds(l.Details, &want) }) {
				for _, l := range all {
					t.Logf("%s: %+v", l.ApplicationName, l.Details)
				}
				t.Errorf("no flow has %+v", want)
			}
		})
	}
}

// holds tells whether d says what is set in want.
func holds(d, want *userspace.L7Details) bool {
	same := func(d, want string) bool { return want == "" || d == want }
	return same(d.TLSServerName, want.TLSServerName) && same(d.TLSVersion, want.TLSVersion) && same(d.TLSCipher, want.TLSCipher) &&
		same(d.ALPNOffered, want.ALPNOffered) && same(d.ALPNChosen, want.ALPNChosen) && same(d.JA4, want.JA4) &&
		same(d.QUICVersion, want.QUICVersion) && same(d.CertificateIssuer, want.CertificateIssuer) &&
		same(d.CertificateSHA1, want.CertificateSHA1) && (want.CertificateNotBefore == 0 || d.CertificateNotBefore == want.CertificateNotBefore) &&
		same(d.HTTPMethod, want.HTTPMethod) && same(d.HTTPURL, want.HTTPURL) && (want.HTTPStatus == 0 || d.HTTPStatus == want.HTTPStatus) &&
		same(d.DNSQuery, want.DNSQuery) && same(d.DNSType, want.DNSType) && same(d.DNSCode, want.DNSCode) &&
		(want.DNSAnswers == nil || slices.Equal(d.DNSAnswers, want.DNSAnswers)) &&
		same(d.SSHClient, want.SSHClient) && same(d.SSHServer, want.SSHServer) && same(d.DHCPFingerprint, want.DHCPFingerprint) && same(d.DHCPClass, want.DHCPClass)
}

// TestDetailsChangeNoLabel holds the verdicts with details against those
// without, on every capture.
func TestDetailsChangeNoLabel(t *testing.T) {
	needNDPI(t)
	paths, err := filepath.Glob("../testdata/*/*.pcap")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d captures, %v", len(paths), err)
	}
	for _, path := range paths {
		plain, full := verdicts(t, path, dpi.Options{}), verdicts(t, path, dpi.Options{Details: true})
		if len(plain) != len(full) {
			t.Fatalf("%s: %d flows, with details %d", path, len(plain), len(full))
		}
		for i := range plain {
			got := *full[i]
			got.Details = nil
			if plain[i].RequestedServerName == "" {
				got.RequestedServerName = "" // filled in from weir's own reading
			}
			if got != *plain[i] {
				t.Errorf("%s: flow %d: %+v, with details %+v", path, i, *plain[i], got)
			}
		}
	}
}

func TestAServerNameThatNDPIMissesIsFilledIn(t *testing.T) {
	needNDPI(t)
	for _, l := range verdicts(t, "../testdata/quic/quic.pcap", dpi.Options{Details: true}) {
		if l.Details != nil && l.Details.QUICVersion != "" && l.RequestedServerName != "www.weir.example" {
			t.Errorf("%+v", l)
		}
	}
}
