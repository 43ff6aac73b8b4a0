package rules

import (
	"strings"
	"testing"
)

var debian = Release{Major: 4, Minor: 2}

func TestLinesThatTheLibraryTakes(t *testing.T) {
	const (
		ja3  = "89dfc51e72bdcb94e4ba4622588002b1"
		ja4  = "t13d1516h2_8daaf6152771_e5627efa2ab1"
		sha1 = "67c23a3004e1b7ee687cfeb31f037a2c9e1fffdc"
	)
	for _, c := range []struct {
		kind    Kind
		release Release
		line    string
	}{
		{Protocols, debian, "tcp:8080,udp:5000-5010@My App"},
		{Protocols, debian, `host:"example.org",host:example.net@MyApp`},
		{Protocols, debian, "ip:192.0.2.0/24,ip:198.51.100.7@MyApp"},
		{Protocols, debian, "ip_risk_mask:192.0.2.0/24=0"},
		{Protocols, debian, `host_risk_mask:".local"=32`},
		{Protocols, debian, `trusted_issuer_dn:"CN=a, O=b"`},
		{Protocols, Release{4, 4, false}, "ip:192.0.2.1:8080@MyApp"},
		{Protocols, Release{4, 4, false}, "ip:192.0.2.0/24:8080@MyApp"},
		{Protocols, Release{4, 8, false}, "tcp:80@MyApp=500"},
		{Protocols, Release{4, 10, false}, "ip:[2001:db8::1]@MyApp"},
		{Protocols, Release{4, 10, false}, "ip:[2001:db8::]/64:443@MyApp"},
		{Protocols, Release{4, 10, false}, "ipv6:[2001:db8::]/64@MyApp"},
		{Protocols, Release{4, 10, false}, "ip_risk_mask:2001:db8::/64=0"},
		{Protocols, Release{4, 8, false}, `nbpf:"host 192.0.2.1"@MyApp=500`},
		{Protocols, Release{5, 0, false}, "ja4:" + ja4 + "@MyApp"},
		{Categories, debian, "example.org\t5"},
		{Categories, debian, "192.0.2.0/24\t100"},
		{RiskDomains, debian, "bad.example"},
		{MaliciousClients, debian, ja3},
		{MaliciousClients, debian, ja3 + ",2021-01-01,Botnet"},
		{MaliciousClients, Release{5, 0, true}, ja4},
		{MaliciousCertificates, debian, sha1},
		{MaliciousCertificates, debian, "2021-01-01 00:00:00," + sha1 + ",C&C"},
	} {
		got, bad := Check(c.kind, "file", []byte("# comment\r\n\n"+c.line+"\r\n"), c.release)
		if len(bad) > 0 || string(got) != c.line+"\n" {
			t.Errorf("%v %v: %q became %q, %v", c.kind, c.release, c.line, got, bad)
		}
	}
}

func TestLinesThatTheLibraryDoesNotTake(t *testing.T) {
	for _, c := range []struct {
		kind    Kind
		release Release
		line    string
		wants   string
	}{
		{Protocols, debian, "tcp:80", "no @PROTOCOL"},
		{Protocols, debian, "tcp:80@", "want a name"},
		{Protocols, debian, "tcp:0@X", "want a port"},
		{Protocols, debian, "udp:70000@X", "want a port"},
		{Protocols, debian, "tcp:20-10@X", "want a port"},
		{Protocols, debian, "sctp:5@X", "knows tcp:, udp:, ip: and host:"},
		{Protocols, debian, `host:"a,b"@X`, "knows tcp:"},
		{Protocols, debian, `host:""@X`, "want a name"},
		{Protocols, debian, "ip:2001:db8::1@X", "want an IPv4 address"},
		{Protocols, debian, "ip:192.0.2.1:80@X", "want an IPv4 address"},
		{Protocols, Release{4, 8, false}, "ip:[2001:db8::1]@X", "IPv6 from libndpi 4.10 on"},
		{Protocols, Release{4, 8, false}, "ipv6:[2001:db8::1]@X", "knows tcp:"},
		{Protocols, Release{4, 8, false}, "ip_risk_mask:2001:db8::/64=0", "IPv6 from libndpi 4.10 on"},
		{Protocols, Release{4, 10, false}, "ip:[192.0.2.1]@X", "want an IPv4 address"},
		{Protocols, Release{4, 10, false}, "ip:2001:db8::/200@X", "want an IPv4 address"},
		{Protocols, Release{4, 4, false}, "ip:192.0.2.1:0@X", "want an IPv4 address"},
		{Protocols, debian, "ip_risk_mask:192.0.2.1", "no =MASK"},
		{Protocols, debian, "host_risk_mask:a.example=0x1", "decimal"},
		{Protocols, debian, "trusted_issuer_dn:CN=a", "in quotes"},
		{Protocols, debian, "tcp:80\x00@X", "zero octet"},
		{Protocols, debian, "tcp:80@" + strings.Repeat("x", 40), "want a name"},
		{Categories, debian, "example.org 5", "a tab"},
		{Categories, debian, "example.org\tWeb", "number"},
		{Categories, debian, "example.org\t", "number"},
		{Categories, debian, "example.org\t0", "number"},
		{RiskDomains, debian, "a.example b.example", "one domain"},
		{MaliciousClients, debian, "t13d1516h2_8daaf6152771_e5627efa2ab1", "JA3"},
		{MaliciousClients, Release{5, 0, true}, "89dfc51e72bdcb94e4ba4622588002b1", "JA4"},
		{MaliciousCertificates, debian, "67c23a", "SHA-1"},
		{RiskDomains, debian, strings.Repeat("a", 200), "a line may have"},
	} {
		_, bad := Check(c.kind, "my.txt", []byte("# comment\n\n"+c.line), c.release)
		if len(bad) != 1 || !strings.HasPrefix(bad[0].Error(), "my.txt:3: ") || !strings.Contains(bad[0].Error(), c.wants) {
			t.Errorf("%v %q: %v; want %q at line 3", c.kind, c.line, bad, c.wants)
		}
	}
}

func TestALastLineWithoutAnEndIsWhole(t *testing.T) {
	got, bad := Check(Protocols, "file", []byte("tcp:80@X"), debian)
	if len(bad) > 0 || string(got) != "tcp:80@X\n" {
		t.Errorf("%q, %v", got, bad)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte("tcp:1-2,host:\"a\"@B\nip_risk_mask:192.0.2.1=0\n"), byte(0))
	f.Fuzz(func(t *testing.T, content []byte, kind byte) {
		k := Kind(kind % 5)
		clean, _ := Check(k, "file", content, debian)
		again, _ := Check(k, "file", clean, debian)
		if string(again) != string(clean) {
			t.Errorf("%q is cleaned again, to %q", clean, again)
		}
	})
}
