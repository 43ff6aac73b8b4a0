package loader

import "golang.org/x/sys/unix"

// capabilities is the effective set of the calling thread, a bit each.
type capabilities uint64

func (c capabilities) has(bit int) bool { return c>>bit&1 == 1 }

// currentCapabilities opens no file: it is asked for by who has handed its meter over.
func currentCapabilities() capabilities {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if unix.Capget(&header, &sets[0]) != nil {
		return 0
	}
	return capabilities(sets[0].Effective) | capabilities(sets[1].Effective)<<32
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

// Keep are the capabilities of the calling thread that it takes to detach what was
// attached, and to attach it again: fewer than loading does.
func Keep() (kept []int) {
	c := currentCapabilities()
	for _, r := range required {
		switch {
		case c.has(r.bit):
			kept = append(kept, r.bit)
		case r.byAdmin && c.has(unix.CAP_SYS_ADMIN):
			kept = append(kept, unix.CAP_SYS_ADMIN)
		}
	}
	return kept
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
