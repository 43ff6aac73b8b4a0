package loader

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/weirflow/weir/bpf"
)

// A MemoryError says that the flow table and the ring buffer do not fit below the
// memory limit of the process's control group. The kernel takes their memory at once,
// and kills the process rather than refuse it.
type MemoryError struct {
	MaxFlows    int
	Octets      uint64 // that the maps take
	Left        uint64 // below the limit
	Limit       uint64
	MostFlows   int    // that would fit
	LimitedFrom string // the file that has the limit
}

func (e *MemoryError) Error() string {
	advice := "raise it"
	if e.MostFlows > 0 {
		advice = fmt.Sprintf("--max-flows %d fits, or raise the limit", e.MostFlows)
	}
	return fmt.Sprintf("make room for %d flows: %d MB are needed and the control group's memory limit of %d MB (%s) leaves %d MB: %s",
		e.MaxFlows, e.Octets/1e6, e.Limit/1e6, e.LimitedFrom, e.Left/1e6, advice)
}

// controlGroups is where they are mounted.
const controlGroups = "/sys/fs/cgroup"

const (
	// elementOctets is what the kernel's hash table adds to each entry, its bucket
	// apart.
	elementOctets = 48
	bucketOctets  = 16
	// processOctets are left for user space.
	processOctets = 64 << 20
)

// tableOctets is what a flow table takes in the kernel.
func tableOctets(m *ebpf.MapSpec, flows uint32) uint64 {
	entry := uint64(elementOctets + (m.KeySize+7)&^7 + (m.ValueSize+7)&^7)
	buckets := uint64(1) << bits.Len32(max(flows, 1)-1)
	return uint64(flows)*entry + buckets*bucketOctets
}

// checkMemory refuses maps that the control group's limit has no room for. A limit
// that cannot be read is none.
func checkMemory(spec *ebpf.CollectionSpec, control string) error {
	limit := memoryLimit(control)
	if limit == nil {
		return nil
	}
	table := spec.Maps[bpf.WeirMapFlows]
	others := uint64(spec.Maps[bpf.WeirMapEvents].MaxEntries) + processOctets
	wanted := tableOctets(table, table.MaxEntries) + others
	if wanted <= limit.left {
		return nil
	}
	e := &MemoryError{MaxFlows: int(table.MaxEntries), Octets: wanted, Left: limit.left, Limit: limit.octets, LimitedFrom: limit.file}
	if others < limit.left {
		const share = 1 << 10 // with at most two buckets each
		e.MostFlows = int((limit.left - others) * share / (tableOctets(table, share) + share*bucketOctets))
	}
	return e
}

// A limit on memory, and what is left of it.
type limit struct {
	octets, left uint64
	file         string
}

// memoryLimit is the tightest limit of the process's control group and those above
// it; nil without one. control is where control groups are mounted.
func memoryLimit(control string) (tightest *limit) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		root, names := control, [2]string{"memory.max", "memory.current"}
		switch {
		case fields[1] == "memory":
			root, names = filepath.Join(control, "memory"), [2]string{"memory.limit_in_bytes", "memory.usage_in_bytes"}
		case fields[0] != "0":
			continue
		}
		for group := filepath.Clean("/" + fields[2]); ; group = filepath.Dir(group) {
			if l := limitOf(filepath.Join(root, group), names); l != nil && (tightest == nil || l.left < tightest.left) {
				tightest = l
			}
			if group == "/" {
				break
			}
		}
	}
	return tightest
}

// limitOf is the limit of one control group, nil without one.
func limitOf(group string, names [2]string) *limit {
	file := filepath.Join(group, names[0])
	octets, used := octetsIn(file), octetsIn(filepath.Join(group, names[1]))
	if octets >= math.MaxInt64>>1 || used > math.MaxInt64 {
		return nil
	}
	used -= min(used, cachedIn(filepath.Join(group, "memory.stat")))
	return &limit{octets: octets, left: octets - min(used, octets), file: file}
}

// cachedIn is what of a control group's memory holds files, and would be given up.
func cachedIn(path string) (octets uint64) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "inactive_file" || name == "active_file" {
			n, _ := strconv.ParseUint(value, 10, 64)
			octets += n
		}
	}
	return octets
}

// octetsIn reads a number; all that is no number is no limit.
func octetsIn(path string) uint64 {
	content, err := os.ReadFile(path)
	if err != nil {
		return math.MaxUint64
	}
	octets, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		return math.MaxUint64
	}
	return octets
}
