package loader

import (
	"bytes"
	"os"
)

// realTimeFile holds 1 where the kernel is PREEMPT_RT.
const realTimeFile = "/sys/kernel/realtime"

// A RealTimeError says that the object for a process without CAP_PERFMON is not for
// kernels that are PREEMPT_RT. It keeps the frame that a CPU is at in one place, and
// there the CPU may turn to another frame in between (without
// CONFIG_PREEMPT_RT_NEEDS_BH_LOCK): the flows would be wrong.
type RealTimeError struct{}

func (e *RealTimeError) Error() string {
	return loadOperation + ": this kernel is PREEMPT_RT (" + realTimeFile + "), on which weir does not meter without CAP_PERFMON: flows would be wrong. " +
		"Give the program cap_perfmon as well, or start it as root"
}

// realTime tells whether the kernel may turn from a frame to another one on the same
// CPU.
func realTime(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && string(bytes.TrimSpace(text)) == "1"
}
