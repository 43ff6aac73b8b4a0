package pcapfile

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// captureFiles are the project's own captures and, where they are present,
// those shared between projects.
func captureFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{
		"../../testdata/*.pcap*", "../../testdata/*/*.pcap*",
		"../../../shared/captures/*/*.pcap", "../../../shared/captures/*/*.pcapng",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// count is how many packets come before the end, and the error that was it.
func count(path string) (int, error) {
	r, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var p userspace.CapturedPacket
	for n := 0; ; n++ {
		if err := r.ReadPacket(&p); err != nil {
			return n, err
		}
	}
}

var tcpdumpCount = regexp.MustCompile(`(?m)^(\d+) packets?$`)

// tcpdump says how many packets it reads, and whether it read them all.
func tcpdump(t *testing.T, path string) (int, error) {
	t.Helper()
	out, err := exec.Command("tcpdump", "--count", "-r", path).CombinedOutput()
	match := tcpdumpCount.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("tcpdump gives no count: %s", out)
	}
	n, convErr := strconv.Atoi(string(match[1]))
	if convErr != nil {
		t.Fatal(convErr)
	}
	return n, err
}

func needTcpdump(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("compares with tcpdump, which is not installed (apt install tcpdump)")
	}
}

func TestE3CountsEqualTcpdumps(t *testing.T) {
	needTcpdump(t)
	files, refused := captureFiles(t), 0
	for _, path := range files {
		got, err := count(path)
		want, tcpdumpErr := tcpdump(t, path)
		switch {
		case tcpdumpErr != nil && err == io.EOF:
			refused++
			t.Logf("%s: %d packets; tcpdump refuses: %v", path, got, tcpdumpErr)
		case tcpdumpErr == nil && (err != io.EOF || got != want):
			t.Errorf("%s: %d packets, then %v; want tcpdump's %d and io.EOF", path, got, err, want)
		}
	}
	for _, s := range seeds() {
		got, err := tcpdump(t, write(t, "capture", s.raw))
		if s.name == "pcapng of two sections" {
			continue // libpcap 1.10 refuses a change of byte order between sections
		}
		if err != nil || got != s.packets {
			t.Errorf("%s: tcpdump reads %d packets and ends with %v, want %d", s.name, got, err, s.packets)
		}
	}
	t.Logf("measured: %d captures have tcpdump's count of packets; tcpdump refuses %d more", len(files)-refused, refused)
}

// The times of every packet, to the nanosecond, are tcpdump's. Those beyond
// the range of 64-bit nanoseconds, of which tcpdump prints the seconds modulo
// 2^32, must be counted as clamped instead.
func TestTimesEqualTcpdumps(t *testing.T) {
	needTcpdump(t)
	for _, path := range captureFiles(t) {
		if info, err := os.Stat(path); err != nil || info.Size() > 1<<20 {
			continue // printing takes tcpdump long
		}
		out, err := exec.Command("tcpdump", "-r", path, "-tt", "-nn", "-q", "-e", "--time-stamp-precision=nano").Output()
		if err != nil {
			continue // the count says why
		}
		r, err := Open(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		compareTimes(t, path, r, out)
		r.Close()
	}
}

// A packet of which nothing was captured is printed without its time.
var tcpdumpTime = regexp.MustCompile(`(?m)^(?:(\d+)\.(\d{9}) |\[Invalid header)`)

func compareTimes(t *testing.T, path string, r *Reader, out []byte) {
	t.Helper()
	var p userspace.CapturedPacket
	for i, match := range tcpdumpTime.FindAllSubmatch(out, -1) {
		clamped := r.TimesClamped()
		if err := r.ReadPacket(&p); err != nil {
			t.Errorf("%s: packet %d: %v", path, i, err)
			return
		}
		if r.TimesClamped() > clamped || match[1] == nil {
			continue
		}
		if got := fmt.Sprintf("%d.%09d", p.TimeNs/1e9, p.TimeNs%1e9); got != string(bytes.Join(match[1:], []byte("."))) {
			t.Errorf("%s: packet %d is of %s, tcpdump says %s.%s", path, i, got, match[1], match[2])
			return
		}
	}
}
