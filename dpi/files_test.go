package dpi_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/userspace"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheUsersKnowledgeReachesNDPI(t *testing.T) {
	needNDPI(t)
	const capture = "../testdata/tls12/tls12.pcap"
	plain := verdicts(t, capture, dpi.Options{Details: true})
	if len(plain) == 0 || plain[0].ApplicationName != "TLS" || len(plain[0].Details.Risks) == 0 {
		t.Fatalf("%+v", plain)
	}
	for name, c := range map[string]struct {
		files dpi.Files
		check func(*userspace.L7) bool
	}{
		"a host": {dpi.Files{Protocols: writeFile(t, `host:"weir.example"@Weir`)}, func(l *userspace.L7) bool {
			return l.ApplicationName == "TLS.Weir"
		}},
		"a mask over risks": {dpi.Files{Protocols: writeFile(t, "host_risk_mask:\".weir.example\"=0\nhost_risk_mask:\"weir.example\"=0")}, func(l *userspace.L7) bool {
			// Later releases have risks that no mask takes away.
			return len(l.Details.Risks) == 0 || !isReferences() && len(l.Details.Risks) < len(plain[0].Details.Risks)
		}},
		"a category": {dpi.Files{Categories: writeFile(t, "weir.example\t100")}, func(l *userspace.L7) bool {
			return l.ApplicationCategoryName == "Malware"
		}},
		"a malicious certificate": {dpi.Files{MaliciousCertificates: writeFile(t, "67c23a3004e1b7ee687cfeb31f037a2c9e1fffdc")}, func(l *userspace.L7) bool {
			return slices.ContainsFunc(l.Details.Risks, func(r string) bool {
				return strings.Contains(r, "Malicious") && !slices.Contains(plain[0].Details.Risks, r)
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, l := range verdicts(t, capture, dpi.Options{Details: true, Files: c.files}) {
				if !c.check(l) {
					t.Errorf("%+v, %+v", *l, *l.Details)
				}
			}
		})
	}
}

func TestABadFileIsToldByItsLines(t *testing.T) {
	needNDPI(t)
	path := writeFile(t, "tcp:80@X\ntcp:@X\n# fine\nnonsense\n")
	_, err := dpi.Start(context.Background(), dpi.Options{Files: dpi.Files{Protocols: path, RiskDomains: filepath.Join(t.TempDir(), "absent")}})
	for _, want := range []string{"start DPI: read nDPI's protocols: ", path + ":2: ", path + ":4: ", "read nDPI's risky domains", "no such file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}

func TestKnownListsTheUsersProtocolsToo(t *testing.T) {
	needNDPI(t)
	k, err := dpi.Known(dpi.Files{Protocols: writeFile(t, "tcp:54321@Weirs_own\n")})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(k.Protocols, func(p ndpi.Protocol) bool { return p.Name == "Weirs_own" }) || k.Library.Version != dpi.Version() {
		t.Errorf("%d protocols of %s, the user's is not among them", len(k.Protocols), k.Library.Version)
	}
}
