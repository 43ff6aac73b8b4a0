package loader

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// capabilities is the effective set of the calling thread, a bit each.
type capabilities uint64

func (c capabilities) has(bit int) bool { return c>>bit&1 == 1 }

func currentCapabilities() capabilities {
	f, err := os.Open("/proc/thread-self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "CapEff:"); ok {
			set, _ := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return capabilities(set)
		}
	}
	return 0
}

// perfmon tells whether the verifier lets a program add a variable to a packet
// pointer, as to find what comes behind an IP header with options. Without it, the
// object is loaded that copies headers instead.
func (c capabilities) perfmon() bool { return c.has(unix.CAP_PERFMON) || c.has(unix.CAP_SYS_ADMIN) }

// required is what loading and attaching take.
var required = []struct {
	bit  int
	name string
	// CAP_SYS_ADMIN stands for it, as before Linux 5.8.
	byAdmin bool
}{
	{unix.CAP_BPF, "CAP_BPF", true},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
}

// missing lists what the set lacks of it.
func (c capabilities) missing() (names []string) {
	for _, r := range required {
		if !c.has(r.bit) && !(r.byAdmin && c.has(unix.CAP_SYS_ADMIN)) {
			names = append(names, r.name)
		}
	}
	return names
}
