package sandbox

import (
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// Go's runtime and the C library make these on their own account, and reading and
// writing descriptors that a process has.
var runtimeCalls = []string{
	"brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
	"epoll_wait", "eventfd2", "exit", "exit_group", "fstat", "futex", "getegid", "geteuid", "getgid", "getpid", "getppid",
	"getrandom", "getrusage", "gettid", "gettimeofday", "getuid", "madvise", "membarrier", "mincore", "munmap", "mremap",
	"nanosleep", "poll", "ppoll", "pread64", "pwrite64", "read", "readv", "restart_syscall", "rseq", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sched_getaffinity", "sched_yield", "set_robust_list",
	"set_tid_address", "shutdown", "sigaltstack", "time", "uname", "write", "writev",
}

// To open and start things; which ones, the file rules say.
var openCalls = []string{
	"access", "arch_prctl", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fcntl", "fdatasync", "fsync", "ftruncate",
	"getcwd", "getdents64", "lseek", "mmap", "mprotect", "newfstatat", "open", "openat", "pipe", "pipe2",
	"readlink", "readlinkat", "rename", "renameat", "renameat2", "stat", "lstat", "statx", "unlink", "unlinkat",
}

// To start the process for nDPI, confine it further, and end it.
var startCalls = []string{
	"capget", "capset", "execve", "getxattr", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
	"pidfd_open", "pidfd_send_signal", "vfork", "wait4", "waitid",
}

// To become another user, for the process for nDPI.
var userCalls = []string{"setgroups", "setresgid", "setresuid"}

// To talk over sockets that a process has.
var socketCalls = []string{
	"accept4", "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmsg", "socketpair",
}

// To say something over them: to whom they are connected to, for TCP Fast Open connects past Landlock.
var sendCalls = []call{
	bits("sendto", 3, seccomp.BitsNotSet, unix.MSG_FASTOPEN), bits("sendmsg", 2, seccomp.BitsNotSet, unix.MSG_FASTOPEN),
}

// To use sockets of one's own, for outputs over a network.
var networkCalls = []string{"connect", "setsockopt"}

// Sockets are the kinds that a process may make.
type Sockets struct{ Unix, TCP, UDP bool }

// calls make them. Of the internet's no other kind: Landlock knows the ports of TCP, but neither
// those of MPTCP nor of SCTP, which an address family and a type alone can stand for.
func (s Sockets) calls() (calls []call) {
	const kinds = 0xf // of a socket's type; the rest are flags
	kind := func(kind, protocol uint64) {
		for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
			for _, p := range []uint64{0, protocol} {
				calls = append(calls, call{"socket", []seccomp.Condition{
					{Argument: 0, Operation: seccomp.Equal, Value: family},
					{Argument: 1, Operation: seccomp.BitsNotSet, Value: kinds &^ kind},
					{Argument: 2, Operation: seccomp.Equal, Value: p},
				}})
			}
		}
	}
	if s.Unix {
		calls = append(calls, either("socket", 0, unix.AF_UNIX)...)
	}
	if s.TCP {
		kind(unix.SOCK_STREAM, unix.IPPROTO_TCP)
	}
	if s.UDP {
		kind(unix.SOCK_DGRAM, unix.IPPROTO_UDP)
	}
	return calls
}

// What is made only by who has taken a process over.
var fatalCalls = []string{
	"add_key", "execveat", "init_module", "io_uring_setup", "kexec_load", "keyctl", "mount", "open_by_handle_at",
	"perf_event_open", "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "setns", "unshare", "userfaultfd",
}

// bpfCommands are those on descriptors that a process has; none makes or finds a map or
// a program.
var bpfCommands = []uint64{
	unix.BPF_MAP_LOOKUP_ELEM, unix.BPF_MAP_UPDATE_ELEM, unix.BPF_MAP_GET_NEXT_KEY, unix.BPF_PROG_TEST_RUN, unix.BPF_OBJ_GET_INFO_BY_FD,
	unix.BPF_MAP_LOOKUP_BATCH, unix.BPF_ITER_CREATE, // for each sweep
}

// prctlOptions name memory and threads, and take away from the thread.
var prctlOptions = []uint64{
	unix.PR_SET_NAME, unix.PR_SET_VMA, unix.PR_SET_PDEATHSIG, unix.PR_SET_DUMPABLE, unix.PR_SET_NO_NEW_PRIVS, unix.PR_GET_SECCOMP,
	unix.PR_CAPBSET_DROP, unix.PR_CAP_AMBIENT,
}

// terminalRequests ask, where others would type into the terminal.
var terminalRequests = []uint64{unix.TCGETS, unix.TIOCGWINSZ}

// newNamespaces are the flags of clone by which a process would have capabilities
// again, in namespaces of its own.
const newNamespaces = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
	unix.CLONE_NEWUSER | unix.CLONE_NEWUTS

// ConsumerCalls are for a process that reads a meter and writes flows. With workers
// it may start processes as well.
func ConsumerCalls(workers bool, sockets Sockets) *Calls {
	c := &Calls{always: slices.Concat(runtimeCalls, openCalls, socketCalls, []string{"seccomp"}), fatal: fatalCalls}
	c.when = slices.Concat(
		either("bpf", 0, bpfCommands...),
		either("prctl", 0, prctlOptions...),
		either("prlimit64", 0, 0), // its own
		either("ioctl", 1, terminalRequests...),
		sendCalls,
	)
	if memoryIsSealed() {
		c.when = append(c.when, bits("memfd_create", 1, seccomp.BitsSet, unix.MFD_NOEXEC_SEAL))
	} else {
		c.always = append(c.always, "memfd_create")
	}
	switch {
	case workers:
		c.always = slices.Concat(c.always, startCalls, []string{"kill", "tgkill"})
		c.when = append(c.when, bits("clone", 0, seccomp.BitsNotSet, newNamespaces))
	default:
		c.when = slices.Concat(c.when, either("kill", 0, own()), either("tgkill", 0, own()),
			[]call{bits("clone", 0, seccomp.BitsSet, unix.CLONE_THREAD)})
	}
	if (sockets != Sockets{}) {
		c.always = slices.Concat(c.always, networkCalls)
		c.when = slices.Concat(c.when, sockets.calls(),
			either("ioctl", 1, unix.SIOCOUTQ, // how much has not arrived
				unix.SIOCGIFINDEX)) // fe80::1%eth0
	}
	return c
}

// parentCalls are for who waits for another process, and sends it away.
var parentCalls = []string{
	"bind", "capget", "fcntl", "getpeername", "getsockname", "getsockopt", "pidfd_send_signal", "recvfrom", "recvmsg", "sendmsg", "sendto",
	"wait4", "waitid",
}

// pinCalls replace what is pinned, and take away pins and the control socket. None
// opens a file: the directory of a pinned meter is open.
var pinCalls = []string{
	"chmod", "chown", "fchmodat", "fchmodat2", "fchownat", "getdents64", "lchown", "lseek", "lstat", "newfstatat", "readlink", "readlinkat", "rename",
	"renameat", "renameat2", "rmdir", "statfs", "statx", "unlink", "unlinkat",
}

// parentCommands ask what holds a program to an interface, end that, and attach again.
var parentCommands = []uint64{
	unix.BPF_LINK_CREATE, unix.BPF_LINK_DETACH, unix.BPF_MAP_UPDATE_ELEM, unix.BPF_OBJ_GET, unix.BPF_OBJ_GET_INFO_BY_FD, unix.BPF_OBJ_PIN,
	unix.BPF_PROG_QUERY,
}

// ParentCalls are for a process that has attached a meter, has handed it over, and
// keeps it so: it opens no file and starts nothing.
func ParentCalls() *Calls {
	return &Calls{
		always: slices.Concat(runtimeCalls, parentCalls, networkCalls, pinCalls),
		when: slices.Concat(
			either("bpf", 0, parentCommands...),
			either("prctl", 0, unix.PR_SET_NAME, unix.PR_SET_VMA),
			either("kill", 0, own()), either("tgkill", 0, own()),
			either("socket", 0, unix.AF_UNIX), // of the service manager
			interfaceSockets(),
			privateMemory(),
			[]call{bits("clone", 0, seccomp.BitsSet, unix.CLONE_THREAD)},
		),
		fatal: slices.Concat(fatalCalls, []string{"execve", "fork", "vfork"}),
	}
}

// interfaceSockets tell of interfaces; others of netlink are of filters, keys and the like.
func interfaceSockets() []call {
	return []call{{"socket", []seccomp.Condition{
		{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_NETLINK},
		{Argument: 2, Operation: seccomp.Equal, Value: unix.NETLINK_ROUTE},
	}}}
}

// privateMemory is memory that is not executed, and no other process's.
func privateMemory() []call {
	return []call{
		bits("mprotect", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
		{"mmap", []seccomp.Condition{
			{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC},
			// Shared memory counts towards no limit of the process.
			{Argument: 3, Operation: seccomp.BitsNotSet, Value: unix.MAP_SHARED},
		}},
	}
}

// ReplayCalls are for a process that reads files and writes flows, and may start
// processes that are another user's.
func ReplayCalls(sockets Sockets) *Calls {
	c := ConsumerCalls(true, sockets)
	c.always = slices.Concat(c.always, userCalls)
	c.when = slices.DeleteFunc(c.when, func(w call) bool { return w.name == "bpf" })
	c.fatal = slices.Concat(c.fatal, []string{"bpf"})
	return c
}

// WorkerCalls are for a process that has opened all that it needs, and reads
// hostile octets in C from then on: it reads and writes what is open, and takes
// private memory.
func WorkerCalls() *Calls {
	return &Calls{
		always: runtimeCalls,
		when: slices.Concat(
			either("prctl", 0, unix.PR_SET_NAME, unix.PR_SET_VMA),
			either("kill", 0, own()), either("tgkill", 0, own()),
			either("prlimit64", 2, 0), // to ask for a limit
			privateMemory(),
			[]call{bits("clone", 0, seccomp.BitsSet, unix.CLONE_THREAD)},
		),
		fatal: slices.Concat(fatalCalls, []string{"execve", "socket", "connect", "bpf", "fork", "vfork"}),
	}
}
