package loader

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf"
)

// A Check is one thing about this machine that weir depends on.
type Check struct {
	Name string `json:"name"`
	// OK is false where weir cannot do something because of it.
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	// Advice is what to do about it; a check that is OK may have some, too.
	Advice string `json:"advice,omitempty"`
}

// Probe looks at everything that metering on this machine depends on: the
// kernel, the process's privilege, and each interface of its network namespace.
// It changes nothing.
func Probe() []Check {
	checks := []Check{
		probeKernel(), probeCapabilities(), probeBTF(), probeRing(),
		probeTCX(), probeMemlock(),
	}
	checks = append(checks, probePrograms()...)
	return append(checks, probeInterfaces()...)
}

// refused is a check that failed for a reason.
func refused(name string, err error, advice string) Check {
	return Check{Name: name, Detail: errorText(err), Advice: advice}
}

func probeKernel() Check {
	c := Check{Name: "kernel", OK: true, Detail: "Linux " + kernelRelease()}
	if tooOld(kernelRelease()) {
		c.OK = false
		c.Advice = "weir is tested on Linux " + minimumKernel + " and newer: use one"
	}
	return c
}

func probeCapabilities() Check {
	missing := currentCapabilities().missing()
	if len(missing) == 0 && !currentCapabilities().perfmon() && realTime(realTimeFile) {
		return refused("capabilities", &RealTimeError{}, "give the program cap_perfmon as well")
	}
	if len(missing) == 0 && !currentCapabilities().perfmon() {
		return Check{Name: "capabilities", OK: true, Detail: "all that attaching needs; metering " + withoutPerfmon,
			Advice: "give the program cap_perfmon as well to spare that"}
	}
	if len(missing) == 0 {
		return Check{Name: "capabilities", OK: true, Detail: "all that attaching needs"}
	}
	return Check{Name: "capabilities", Detail: "without " + strings.Join(missing, ", "),
		Advice: "run as root, or give the program its capabilities (setcap cap_bpf,cap_perfmon,cap_net_admin+ep); files can be metered without"}
}

func probeBTF() Check {
	const path = "/sys/kernel/btf/vmlinux"
	if _, err := os.Stat(path); err != nil {
		return Check{Name: "kernel types (BTF)", Detail: "no " + path,
			Advice: "weir does without, but for the sweep's iterator; a kernel built with CONFIG_DEBUG_INFO_BTF has it"}
	}
	return Check{Name: "kernel types (BTF)", OK: true, Detail: path}
}

func probeJIT(program *ebpf.Program) Check {
	const name = "BPF compiler (JIT)"
	info, err := program.Info()
	if err != nil {
		return refused(name, err, "")
	}
	if size, err := info.JitedSize(); err == nil && size == 0 {
		return Check{Name: name, Detail: "off: programs are interpreted",
			Advice: "sysctl net.core.bpf_jit_enable=1 makes metering several times faster"}
	}
	return Check{Name: name, OK: true, Detail: "on"}
}

func probeRing() Check {
	if err := features.HaveMapType(ebpf.RingBuf); err != nil {
		return refused("ring buffer", err, "it needs Linux 5.8, and the privilege to make maps")
	}
	return Check{Name: "ring buffer", OK: true, Detail: "there"}
}

// loopback is its index in every network namespace.
const loopback = 1

func probeTCX() Check {
	_, err := link.QueryPrograms(link.QueryOptions{Target: loopback, Attach: ebpf.AttachTCXIngress})
	if missing := currentCapabilities().missing(); err != nil && len(missing) > 0 {
		return Check{Name: "TCX", Detail: "not known without " + strings.Join(missing, ", "), Advice: "run as root to know"}
	}
	if err != nil {
		return refused("TCX", err, "--direction out and --hook tcx need Linux 6.6; received packets can be metered by XDP")
	}
	return Check{Name: "TCX", OK: true, Detail: "there: --direction out and --hook tcx work"}
}

func probeMemlock() Check {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return refused("locked memory", err, "")
	}
	text := fmt.Sprintf("limit %d octets", limit.Cur)
	if limit.Cur == unix.RLIM_INFINITY {
		text = "no limit"
	}
	return Check{Name: "locked memory", OK: true, Detail: text + "; maps have not counted since Linux 5.11, a memory cgroup does"}
}

// probePrograms loads everything, small, and runs the program that user space
// runs.
func probePrograms() []Check {
	const load, run = "metering programs", "test run"
	spec, err := object(!currentCapabilities().perfmon())
	if err != nil {
		return []Check{refused(load, err, "this program's file is damaged: install it again")}
	}
	delete(spec.Programs, bpf.WeirProgWeirSweepWalk)
	spec.Maps[bpf.WeirMapFlows].MaxEntries = 1
	spec.Maps[bpf.WeirMapEvents].MaxEntries = uint32(os.Getpagesize())
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return []Check{{Name: load, Detail: explain(loadOperation, err).Error(), Advice: "metering live is not possible; files can be metered"}}
	}
	defer coll.Close()
	checks := []Check{{Name: load, OK: true, Detail: fmt.Sprintf("%d programs pass the verifier", len(coll.Programs))}}
	checks = append(checks, probeJIT(coll.Programs[bpf.WeirProgWeirXdpIn]))
	if err := trySweep(coll.Programs[bpf.WeirProgWeirSweep]); err != nil {
		return append(checks, refused(run, err, "idle flows cannot be expired: a seccomp filter or a security module forbids BPF_PROG_TEST_RUN"))
	}
	return append(checks, Check{Name: run, OK: true, Detail: "works: idle flows can be expired"}, probeIterator(coll.Maps))
}

func trySweep(program *ebpf.Program) error {
	out := make([]byte, unsafe.Sizeof(bpf.Sweep{}))
	verdict, err := program.Run(&ebpf.RunOptions{Data: make([]byte, len(out)), DataOut: out, Repeat: 1})
	if err != nil {
		return err
	}
	if verdict != xdpPass {
		return errors.New("the sweep program does not take its argument")
	}
	return nil
}

// xdpPass is XDP_PASS, the only verdict.
const xdpPass = 2
