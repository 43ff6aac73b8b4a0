package bpf

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Groups are what a flow's record has beyond the core that every flow has, each only
// where it is asked for.
type Groups struct {
	TCPEnd        bool
	IPStatistics  bool
	TCPStatistics bool
	Statistics    bool
	SPLT          int // packets of the first-N vectors
}

// A part is what the kernel keeps of a flow for a group.
type part struct {
	name   string // of its structure, behind "flow_"
	on     bool
	at     uintptr // where every group is on
	octets uintptr
}

// parts are in the order in which they lie behind the core.
func (g Groups) parts() [6]part {
	var w WeirFlowWhole
	return [...]part{
		{"end", g.TCPEnd, unsafe.Offsetof(w.End), unsafe.Sizeof(w.End)},
		{"ip", g.IPStatistics, unsafe.Offsetof(w.Ip), unsafe.Sizeof(w.Ip)},
		{"tcp", g.TCPStatistics, unsafe.Offsetof(w.Tcp), unsafe.Sizeof(w.Tcp)},
		{"statistics", g.Statistics, unsafe.Offsetof(w.Statistics), unsafe.Sizeof(w.Statistics)},
		{"flags", g.Statistics, unsafe.Offsetof(w.Flags), unsafe.Sizeof(w.Flags)},
		{"vectors", g.SPLT > 0, unsafe.Offsetof(w.Vectors), unsafe.Sizeof(w.Vectors)},
	}
}

// offsets are where parts lie, in octets from the start of the core; a part at 0 is
// left out.
type offsets struct{ end, ip, tcp, statistics, flags, vectors uintptr }

func (o *offsets) all() [6]*uintptr {
	return [...]*uintptr{&o.end, &o.ip, &o.tcp, &o.statistics, &o.flags, &o.vectors}
}

// A Layout says where a flow, as the kernel keeps and sends it, has the parts of its
// groups.
type Layout struct {
	close  offsets // in the table, and as it is sent
	apart  offsets // as it is sent without CAP_PERFMON: every part where it is with all of them
	octets int     // of the core with the parts
}

// Layout is that of flows with these groups: a core, and behind it nothing but what is
// asked for.
func (g Groups) Layout() (l Layout) {
	end := unsafe.Sizeof(WeirFlowCore{})
	for i, p := range g.parts() {
		if p.on {
			*l.close.all()[i], *l.apart.all()[i] = end, p.at
			end += p.octets
		}
	}
	l.octets = int(end)
	return l
}

// Entry is how many octets a value of the flow table has.
func (l *Layout) Entry() int { return int(unsafe.Offsetof(WeirFlowEntry{}.Record)) + l.octets }

// Event is how many octets a record has in the ring buffer.
func (l *Layout) Event() int { return int(unsafe.Offsetof(WeirRecordEvent{}.Record)) + l.octets }

// SetGroups has the metering programs keep these groups, and makes the entries of the
// flow table as large as they need. Nothing else tells the programs of groups.
func SetGroups(spec *ebpf.CollectionSpec, g Groups) error {
	var entry *btf.Struct
	if err := spec.Types.TypeByName("flow_entry", &entry); err != nil {
		return fmt.Errorf("lay out the flow table: find its entry in the metering programs: %w", err)
	}
	core, whole := uint32(unsafe.Offsetof(WeirFlowEntry{}.Record)), *entry
	whole.Members = slices.Clone(entry.Members)
	variables := map[string]any{WeirVarCfgSplt: uint8(g.SPLT), WeirVarCfgTcpGraceNs: uint64(TCPGrace)}
	for _, p := range g.parts() {
		variables["cfg_at_"+p.name] = uint32(0)
		if !p.on {
			continue
		}
		var s *btf.Struct
		if err := spec.Types.TypeByName("flow_"+p.name, &s); err != nil {
			return fmt.Errorf("lay out the flow table: find the part %s of an entry in the metering programs: %w", p.name, err)
		}
		variables["cfg_at_"+p.name] = whole.Size - core
		whole.Members = append(whole.Members, btf.Member{Name: p.name, Type: s, Offset: btf.Bits(8 * whole.Size)})
		whole.Size += s.Size
	}
	variables[WeirVarCfgRecordOctets] = whole.Size - core
	for name, value := range variables {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s of the metering programs: %w", name, err)
		}
	}
	table := spec.Maps[WeirMapFlows]
	table.Value, table.ValueSize = &whole, whole.Size
	spec.Maps[WeirMapVacant].ValueSize = whole.Size
	return nil
}
