package feature

import (
	"encoding/hex"
	"testing"

	"github.com/weirflow/weir/bpf"
)

// The texts are what glibc 2.36's inet_ntop wrote.
func TestAddressesAreWrittenAsInetNtopDoes(t *testing.T) {
	for _, c := range []struct{ octets, text string }{
		{"00000000000000000000000000000000", "::"},
		{"00000000000000000000000000000001", "::1"},
		{"0000000000000000000000000000ffff", "::ffff"},
		{"00000000000000000000000000010000", "::0.1.0.0"},
		{"00000000000000000000000000123456", "::0.18.52.86"},
		{"00000000000000000000000100020003", "::1:2:3"},
		{"00000000000000000000ffff01020304", "::ffff:1.2.3.4"},
		{"00000000000000000000ffff00000000", "::ffff:0.0.0.0"},
		{"00000000000000000000fffe00010002", "::fffe:1:2"},
		{"00000000000000000001ffff00010002", "::1:ffff:1:2"},
		{"0000000000000000ffff000001020304", "::ffff:0:102:304"},
		{"00000000000100000000000000000000", "0:0:1::"},
		{"20010db8000000000000000000000001", "2001:db8::1"},
		{"00010000000000020000000000000003", "1:0:0:2::3"},
		{"00010000000000020000000000030004", "1::2:0:0:3:4"},
		{"00010000000200030004000500060007", "1:0:2:3:4:5:6:7"},
		{"fe800000000000000001000000000001", "fe80::1:0:0:1"},
		{"00010000000000000000000000000000", "1::"},
		{"ABCD000000000000EF01000000000000", "abcd::ef01:0:0:0"},
	} {
		octets, err := hex.DecodeString(c.octets)
		if err != nil {
			t.Fatal(err)
		}
		k := bpf.Key{IpVersion: 6}
		copy(k.Addr[1][:], octets)
		if got := string(appendAddress(nil, &k.Addr[1], k.IpVersion)); got != c.text {
			t.Errorf("%s is written %s, want %s", c.octets, got, c.text)
		}
	}
}

func TestIPv4AddressesTakeTheFirstFourOctets(t *testing.T) {
	k := bpf.Key{IpVersion: 4, Addr: [2][16]byte{{10, 0, 255, 1}, {0, 0, 0, 0}}}
	for end, want := range []string{"10.0.255.1", "0.0.0.0"} {
		if got := string(appendAddress(nil, &k.Addr[end], k.IpVersion)); got != want {
			t.Errorf("end %d is written %s, want %s", end, got, want)
		}
	}
}
