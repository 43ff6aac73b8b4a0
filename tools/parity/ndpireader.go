package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// ndpiReader 4.2 writes all it knows of flows only as text for the eye:
//
//	<tab>1<tab>TCP 192.0.2.1:47748 <-> 192.0.2.2:443 [proto: 91/TLS][Encrypted][Confidence: DPI][cat: Web/5][16 pkts/…
//
// Texts of the traffic stand in it as they came. So what is before the counters,
// where none is, is read from the left, and what is behind as what follows the
// first tag of that name.
var (
	readerFlow = regexp.MustCompile(`^\t\d+\t(\S+) (\[[^\]]*\]|[0-9.]+):(\d+) <?-> (\[[^\]]*\]|[0-9.]+):(\d+) (.*)`)
	readerHead = regexp.MustCompile(`^(?:\[VLAN: (\d+)\])?\[proto: (?:([A-Z0-9]+):)?[0-9.]+/(.*?)\](?:\[[A-Za-z ]+\])*\[Confidence: (.*?)\](?:\[cat: (.*?)/\d+\])?\[(\d+) pkts/\d+ bytes <?-> (\d+) pkts/`)
	readerHost = regexp.MustCompile(`sec\](?:\[Username: .*?\])?(?:\[Password: .*?\])?\[Hostname/SNI: (.*?)\]\[`)
	// The fingerprint of which kind, by what stands in front of it.
	readerClient = regexp.MustCompile(`\[(?:JA3C|HASSH-C|DHCP Fingerprint): ([0-9A-Fa-f,]+)`)
	readerServer = regexp.MustCompile(`\[(?:JA3S|HASSH-S): ([0-9A-Fa-f]+)`)
)

// readerProtocols are the protocols that ndpiReader names; others it numbers.
var readerProtocols = map[string]float64{"ICMP": 1, "IGMP": 2, "TCP": 6, "UDP": 17, "ESP": 50, "AH": 51, "ICMPV6": 58, "VRRP": 112}

// readerTunnels are the reference's numbers for what ndpiReader puts before a
// label.
var readerTunnels = map[string]float64{"GTP": 1, "CAPWAP": 2, "TZSP": 3}

// readerConfidences are weir's numbers for ndpiReader's words.
var readerConfidences = map[string]float64{"Unknown": 0, "Match by port": 1, "Match by IP": 2, "DPI (cache)": 3, "DPI": 4}

const readerName = "ndpiReader"

// needReader tells whether there is an ndpiReader of the right release.
func needReader(ctx context.Context) error {
	path, err := exec.LookPath(readerName)
	if err != nil {
		return fmt.Errorf("look for %s: %w; apt-get install libndpi-bin", readerName, err)
	}
	// It exits with 1 after its help.
	help, _ := exec.CommandContext(ctx, path, "-h").CombinedOutput()
	if line, _, _ := bytes.Cut(help, []byte("\n")); !bytes.Contains(line, []byte("nDPI "+oracle)) {
		return fmt.Errorf("%w, and %s here says %q", errNoOracle, path, line)
	}
	return nil
}

// readerRows runs ndpiReader over a capture. why says why there is nothing to
// compare, if there is not; nDPI may crash of a capture, there as here.
func readerRows(ctx context.Context, capture string, tunnels bool) (rows []row, why string, err error) {
	dir, err := os.MkdirTemp("", "weir-parity-")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(dir)
	// It takes a comma in a name for one between two names.
	plain, file := filepath.Join(dir, "capture"), filepath.Join(dir, "flows.txt")
	path, err := filepath.Abs(capture)
	if err != nil {
		return nil, "", fmt.Errorf("find %s: %w", capture, err)
	}
	if err := os.Symlink(path, plain); err != nil {
		return nil, "", fmt.Errorf("name %s for %s: %w", capture, readerName, err)
	}
	args := []string{"-i", plain, "-v", "2", "-w", file}
	if tunnels {
		args = append(args, "-t")
	}
	said, err := exec.CommandContext(ctx, readerName, args...).CombinedOutput()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, readerName + " was not done in time", nil
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	case err != nil:
		return nil, fmt.Sprintf("%s ended with %v", readerName, err), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", fmt.Errorf("run %s over %s: %w", readerName, capture, err)
	}
	rows, err = parseReader(text)
	if len(rows) == 0 {
		why = readerTrouble(said)
	}
	return rows, why, err
}

// readerTrouble finds in what ndpiReader says why it makes no flow of a file.
func readerTrouble(said []byte) string {
	for line := range strings.Lines(string(said)) {
		for _, trouble := range []string{"Unsupported datalink", "rror"} {
			if strings.Contains(line, trouble) {
				return strings.TrimSpace(line)
			}
		}
	}
	return "no packet that it takes for IP"
}

// parseReader reads what -w wrote.
func parseReader(text []byte) (rows []row, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m := readerFlow.FindStringSubmatch(lines.Text()); m != nil {
			r, err := readerRow(m)
			if err != nil {
				return nil, fmt.Errorf("read %s's line %q: %w", readerName, lines.Text(), err)
			}
			rows = append(rows, r)
		}
	}
	return rows, lines.Err()
}

func readerRow(m []string) (row, error) {
	r := row{"src_ip": address(m[2]), "src_port": decimal(m[3]), "dst_ip": address(m[4]), "dst_port": decimal(m[5])}
	protocol, named := readerProtocols[m[1]]
	if !named {
		protocol = decimal(m[1])
	}
	r["protocol"] = protocol
	head := readerHead.FindStringSubmatch(m[6])
	if head == nil {
		return nil, fmt.Errorf("no label in it")
	}
	confidence, known := readerConfidences[head[4]]
	if !known {
		return nil, fmt.Errorf("no such confidence %q", head[4])
	}
	r["vlan_id"], r["tunnel_id"] = decimal(head[1]), readerTunnels[head[2]]
	r["application_name"], r["application_confidence"], r["application_category_name"] = head[3], confidence, "Unspecified"
	if head[5] != "" {
		r["application_category_name"] = head[5]
	}
	r["bidirectional_packets"] = decimal(head[6]) + decimal(head[7])
	r["requested_server_name"] = strings.ToValidUTF8(first(readerHost, m[6]), "")
	r["client_fingerprint"] = first(readerClient, m[6])
	r["server_fingerprint"] = first(readerServer, m[6])
	return r, nil
}

// address is in weir's form; what is no address, as ndpiReader writes some of
// IPv6, stays as it is.
func address(text string) string {
	text = strings.Trim(text, "[]")
	if a, err := netip.ParseAddr(text); err == nil {
		return a.String()
	}
	return text
}

func decimal(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}

func first(pattern *regexp.Regexp, text string) string {
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}
