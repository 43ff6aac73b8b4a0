// Package rules checks the files by which a user teaches nDPI, before libndpi
// reads them: it passes over what it does not understand in silence, and some of
// it crashes it.
//
// The formats are the library's. Each has one entry a line; empty lines and those
// that begin with # are comments.
package rules

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Kind is a kind of file.
type Kind uint8

// The kinds of file.
const (
	// Protocols has rules: what makes a flow one of a protocol
	// ("tcp:8080,udp:5000-5010@MyApp", "host:\"example.org\"@MyApp",
	// "ip:192.0.2.0/24@MyApp"), which of an address's or a host's risks count
	// ("ip_risk_mask:192.0.2.0/24=0", "host_risk_mask:\".local\"=0"), and which
	// issuers of certificates are trusted ("trusted_issuer_dn:\"CN=…\"").
	Protocols Kind = iota
	// Categories has a host or network, a tab, and a category's number.
	Categories
	// RiskDomains has a domain that is risky.
	RiskDomains
	// MaliciousClients has a JA3 (a JA4 in later releases of libndpi), and perhaps more
	// behind a comma.
	MaliciousClients
	// MaliciousCertificates has a SHA-1, perhaps between commas.
	MaliciousCertificates
)

// String is what errors call the kind.
func (k Kind) String() string {
	return [...]string{"protocols", "categories", "risky domains", "malicious clients", "malicious certificates"}[k]
}

// A Release is that of libndpi: newer ones know more.
type Release struct {
	Major, Minor int
	// JA4 says that malicious clients are told by JA4, not JA3.
	JA4 bool
}

// atLeast tells whether the release is another or newer.
func (r Release) atLeast(major, minor int) bool {
	return r.Major > major || r.Major == major && r.Minor >= minor
}

// An Error is a line that the library would not take, or not as it is meant.
type Error struct {
	File   string
	Line   int // from 1
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// lineMax is the longest line that every release reads in one piece.
var lineMax = [...]int{Protocols: 1000, Categories: 500, RiskDomains: 120, MaliciousClients: 120, MaliciousCertificates: 120}

// Check checks a file's content, and returns it with the line ends that the
// library wants. All bad lines are in the error.
func Check(kind Kind, file string, content []byte, release Release) ([]byte, []error) {
	var clean bytes.Buffer
	var bad []error
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		blank := " \t\r\n"
		if kind == Categories {
			blank = "\r\n" // a tab at the end lacks its category
		}
		line = strings.TrimRight(line, blank)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := checkLine(kind, line, release); err != nil {
			bad = append(bad, &Error{file, number, err.Error()})
		}
		clean.WriteString(line + "\n")
	}
	return clean.Bytes(), bad
}

func checkLine(kind Kind, line string, release Release) error {
	if len(line) > lineMax[kind] {
		return fmt.Errorf("%d octets; a line may have %d", len(line), lineMax[kind])
	}
	if strings.IndexByte(line, 0) >= 0 {
		return fmt.Errorf("a zero octet")
	}
	switch kind {
	case Protocols:
		return checkRule(line, release)
	case Categories:
		return checkCategory(line)
	case RiskDomains:
		return checkDomain(line)
	case MaliciousClients:
		return checkClient(line, release)
	default:
		return checkCertificate(line)
	}
}

func checkRule(line string, release Release) error {
	at := strings.LastIndexByte(line, '@')
	for prefix, check := range map[string]func(string) error{
		"ip_risk_mask:":      func(v string) error { return checkMask(v, release.checkNetwork) },
		"host_risk_mask:":    func(v string) error { return checkMask(v, checkHost) },
		"trusted_issuer_dn:": checkIssuer,
	} {
		if value, ok := strings.CutPrefix(line, prefix); ok && at < 0 {
			return check(value)
		}
	}
	if at < 0 {
		return fmt.Errorf("%q: no @PROTOCOL at the end, and no ip_risk_mask:, host_risk_mask: or trusted_issuer_dn: at the beginning", line)
	}
	if err := checkProtocolName(line[at+1:], release); err != nil {
		return err
	}
	for _, element := range strings.Split(line[:at], ",") {
		if err := checkElement(element, release); err != nil {
			return err
		}
	}
	return nil
}

func checkProtocolName(name string, release Release) error {
	if release.atLeast(4, 8) {
		name, _, _ = strings.Cut(name, "=") // an id of the user's own
	}
	if name == "" || strings.ContainsAny(name, ",\t") || len(name) > 39 {
		return fmt.Errorf("protocol %q: want a name of 1 to 39 characters behind @", name)
	}
	return nil
}

func checkElement(element string, release Release) error {
	kind, value, _ := strings.Cut(element, ":")
	switch kind {
	case "tcp", "udp":
		return checkPorts(value)
	case "ip":
		return checkAddress(value, release)
	case "host":
		return checkHost(value)
	}
	if kind == "nbpf" && release.atLeast(4, 6) || kind == "ipv6" && release.knowsIPv6() || release.atLeast(4, 11) {
		return nil // newer releases have more kinds
	}
	// An element of a kind that it does not know crashes the library.
	return fmt.Errorf("%q: libndpi %d.%d knows tcp:, udp:, ip: and host:", element, release.Major, release.Minor)
}

func checkPorts(value string) error {
	low, high, isRange := strings.Cut(value, "-")
	first, err := strconv.ParseUint(low, 10, 16)
	last := first
	if err == nil && isRange {
		last, err = strconv.ParseUint(high, 10, 16)
	}
	if err != nil || first == 0 || last < first {
		return fmt.Errorf("ports %q: want a port from 1 to 65535, or a range such as 5000-5010", value)
	}
	return nil
}

// checkAddress wants a network, from 4.4 on perhaps with a port behind.
func checkAddress(value string, release Release) error {
	err := release.checkNetwork(value)
	if i := strings.LastIndexByte(value, ':'); err != nil && i >= 0 && release.atLeast(4, 4) &&
		release.checkNetwork(value[:i]) == nil && checkPorts(value[i+1:]) == nil {
		return nil
	}
	return err
}

// knowsIPv6 tells whether rules may have addresses of IPv6.
func (r Release) knowsIPv6() bool { return r.atLeast(4, 10) }

// checkNetwork wants an address, or a network: of IPv4, in later releases of IPv6
// too, which may stand in brackets.
func (r Release) checkNetwork(value string) error {
	if i := strings.IndexByte(value, ']'); i > 0 && value[0] == '[' && strings.Contains(value[:i], ":") {
		value = value[1:i] + value[i+1:]
	}
	a, err := netip.ParseAddr(value)
	if err != nil {
		var p netip.Prefix
		p, err = netip.ParsePrefix(value)
		a = p.Addr()
	}
	if err == nil && (a.Is4() || r.knowsIPv6()) {
		return nil
	}
	return fmt.Errorf("address %q: want an IPv4 address such as 192.0.2.1, or a network such as 192.0.2.0/24; IPv6 from libndpi 4.10 on", value)
}

func checkHost(value string) error {
	name := strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
	if name == "" || strings.ContainsAny(name, "\" \t") {
		return fmt.Errorf("host %s: want a name such as \"example.org\"", value)
	}
	return nil
}

func checkMask(value string, key func(string) error) error {
	i := strings.LastIndexByte(value, '=')
	if i < 0 {
		return fmt.Errorf("%q: no =MASK at the end", value)
	}
	if err := key(value[:i]); err != nil {
		return err
	}
	if _, err := strconv.ParseInt(value[i+1:], 10, 64); err != nil {
		return fmt.Errorf("mask %q: want a decimal number, whose bits are the risks that count", value[i+1:])
	}
	return nil
}

func checkIssuer(value string) error {
	if len(value) < 3 || value[0] != '"' || value[len(value)-1] != '"' {
		return fmt.Errorf("issuer %s: want its name in quotes, as in \"CN=example, O=Example\"", value)
	}
	return nil
}

func checkCategory(line string) error {
	host, number, ok := strings.Cut(line, "\t")
	number = strings.Trim(number, "\t ")
	n, err := strconv.ParseUint(number, 10, 16)
	if !ok || host == "" || strings.Contains(host, " ") || err != nil || n == 0 || n > 255 {
		return fmt.Errorf("%q: want a host or network, a tab, and a category's number (weir protocols --categories lists them)", line)
	}
	return nil
}

func checkDomain(line string) error {
	if strings.ContainsAny(line, " \t,") {
		return fmt.Errorf("%q: want one domain", line)
	}
	return nil
}

func checkClient(line string, release Release) error {
	fingerprint, _, _ := strings.Cut(line, ",")
	if release.JA4 {
		if parts := strings.Split(fingerprint, "_"); len(fingerprint) != 36 || len(parts) != 3 || !isHex(parts[1]+parts[2]) {
			return fmt.Errorf("%q: want a JA4 such as t13d1516h2_8daaf6152771_e5627efa2ab1", fingerprint)
		}
		return nil
	}
	if len(fingerprint) != 32 || !isHex(fingerprint) {
		return fmt.Errorf("%q: want a JA3, 32 hexadecimal digits", fingerprint)
	}
	return nil
}

// checkCertificate wants the digest where the library looks for it: before the
// first comma if there is one comma at most, else behind it.
func checkCertificate(line string) error {
	fields := strings.Split(line, ",")
	digest := fields[0]
	if len(fields) > 1 {
		digest = fields[1]
	}
	if len(digest) != 40 || !isHex(digest) {
		return fmt.Errorf("%q: want a SHA-1, 40 hexadecimal digits, alone or behind the first comma", line)
	}
	return nil
}

func isHex(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil
}
