package loader

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	classic "golang.org/x/net/bpf"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/loader/filter"
)

// instance is the programs of one interface, with constants of their own, and
// the maps that they share with those of the others.
type instance struct {
	programs map[string]*ebpf.Program
	maps     map[string]*ebpf.Map
}

func (in *instance) close() {
	for _, p := range in.programs {
		_ = p.Close()
	}
	for _, m := range in.maps {
		_ = m.Close()
	}
}

func closeAll(instances []*instance) {
	for _, in := range instances {
		in.close()
	}
}

// sharedMaps are made by the first instance and used by all.
var sharedMaps = []string{
	bpf.WeirMapFlows, bpf.WeirMapEvents, bpf.WeirMapLedgers, bpf.WeirMapProgress, bpf.WeirMapFlowIds, bpf.WeirMapVacant,
	bpf.WeirMapSweepState, bpf.WeirMapDeletions, bpf.WeirMapRefusals,
}

const loadOperation = "load the metering programs"

// load loads each port's programs, over shared maps where there are such already.
func (a *Attachment) load(o *Options, existing map[string]*ebpf.Map) error {
	a.chooseObject()
	if a.copied && realTime(realTimeFile) {
		return &RealTimeError{}
	}
	shared := map[string]*ebpf.Map{}
	maps.Copy(shared, existing)
	for i := range a.ports {
		spec, err := a.spec(i, o)
		if err != nil {
			return err
		}
		if len(shared) == 0 {
			if err := checkMemory(spec, controlGroups); err != nil {
				return err
			}
		}
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
		if err != nil {
			return explain(loadOperation, err)
		}
		a.instances = append(a.instances, &instance{coll.Programs, coll.Maps})
		if i == 0 {
			a.loadIterator(o)
		}
		for _, name := range sharedMaps {
			shared[name] = a.instances[0].maps[name]
		}
	}
	return nil
}

// withoutPerfmon is what metering without CAP_PERFMON means.
const withoutPerfmon = "without CAP_PERFMON: the same flows, at two to three times the time per packet, as the kernel then checks programs more strictly"

// chooseObject takes the object that the process may load.
func (a *Attachment) chooseObject() {
	const warning = "metering " + withoutPerfmon + "; give the program cap_perfmon as well to spare that"
	a.copied = !currentCapabilities().perfmon()
	a.warnings = slices.DeleteFunc(a.warnings, func(w string) bool { return w == warning })
	if a.copied {
		a.warnings = append(a.warnings, warning)
	}
}

// objectHash names it.
func objectHash(copied bool) string {
	if copied {
		return bpf.CopiedObjectHash()
	}
	return bpf.ObjectHash()
}

// mayStay tells whether a meter's programs are this build's, and no worse than
// what this process would put in their place.
func mayStay(object string) bool {
	return object == bpf.ObjectHash() || object == bpf.CopiedObjectHash() && !currentCapabilities().perfmon()
}

// object reads the one that was chosen.
func object(copied bool) (*ebpf.CollectionSpec, error) {
	if copied {
		return bpf.LoadWeirCopied()
	}
	return bpf.LoadWeir()
}

// spec is the object made ready for an interface.
func (a *Attachment) spec(i int, o *Options) (*ebpf.CollectionSpec, error) {
	spec, err := object(a.copied)
	if err != nil {
		return nil, fmt.Errorf("read the metering programs: %w", err)
	}
	p := &a.ports[i]
	if err := setConstants(spec, o, i, p.linkType); err != nil {
		return nil, err
	}
	keepPrograms(spec, o.programs(p, i == 0))
	spec.Maps[bpf.WeirMapFlows].MaxEntries = uint32(o.Config.MaxFlows)
	spec.Maps[bpf.WeirMapEvents].MaxEntries = uint32(o.RingOctets)
	if o.Filter == nil {
		return spec, nil
	}
	return spec, a.setFilter(spec, o, p.linkType)
}

func keepPrograms(spec *ebpf.CollectionSpec, keep map[string]bool) {
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !keep[name] })
}

// programs are those that an interface needs; the first one's instance also
// holds those that are never attached.
func (o *Options) programs(p *port, first bool) map[string]bool {
	xdp := o.hookOf(p) == HookXDP
	return map[string]bool{
		bpf.WeirProgWeirXdpIn:   o.receives() && xdp,
		bpf.WeirProgWeirTcxIn:   o.receives() && !xdp,
		bpf.WeirProgWeirTcxOut:  o.sends(),
		bpf.WeirProgWeirSweep:   first,
		bpf.WeirProgWeirDpiDone: first,
	}
}

func setConstants(spec *ebpf.CollectionSpec, o *Options, point int, linkType bpf.LinkType) error {
	c := &o.Config
	if err := bpf.SetGroups(spec, c.Groups()); err != nil {
		return err
	}
	for name, value := range map[string]any{
		bpf.WeirVarCfgIdleNs:        uint64(c.IdleTimeout),
		bpf.WeirVarCfgActiveNs:      uint64(c.ActiveTimeout),
		bpf.WeirVarCfgLinkType:      uint32(linkType),
		bpf.WeirVarCfgSampleOctets:  uint32(c.SampleOctets),
		bpf.WeirVarCfgSamples:       uint8(c.Samples),
		bpf.WeirVarCfgAccounting:    uint8(c.Accounting),
		bpf.WeirVarCfgPoint:         uint8(point),
		bpf.WeirVarCfgDecodeTunnels: c.DecodeTunnels,
		bpf.WeirVarCfgFilter:        o.Filter != nil,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s of the metering programs: %w", name, err)
		}
	}
	return nil
}

// filterFunction is the function in the object whose body the filter becomes.
const filterFunction = "packet_filter"

func (a *Attachment) setFilter(spec *ebpf.CollectionSpec, o *Options, linkType bpf.LinkType) error {
	raw, err := o.filterFor(linkType)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	for name, program := range spec.Programs {
		if name == bpf.WeirProgWeirSweep || name == bpf.WeirProgWeirDpiDone {
			continue
		}
		body, err := a.translate(raw, program.Type)
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		if program.Instructions, err = replaceFunction(program.Instructions, body, !a.copied && filter.UsesLength(raw)); err != nil {
			return fmt.Errorf("put the filter into %s: %w", name, err)
		}
	}
	return nil
}

// translate makes the filter what the chosen object has a place for.
func (a *Attachment) translate(raw []classic.RawInstruction, t ebpf.ProgramType) (asm.Instructions, error) {
	switch {
	case !a.copied:
		return filter.ToEBPF(raw)
	case t == ebpf.XDP:
		return filter.ToCopyingEBPF(raw, asm.FnXdpLoadBytes)
	}
	return filter.ToCopyingEBPF(raw, asm.FnSkbLoadBytes)
}

// replaceFunction puts another body into the filter function. The function's
// name and type stay with its first instruction.
func replaceFunction(in, body asm.Instructions, usesLength bool) (asm.Instructions, error) {
	start := -1
	end := len(in)
	for i := range in {
		f := btf.FuncMetadata(&in[i])
		switch {
		case f == nil:
		case f.Name == filterFunction:
			start = i
		case start >= 0 && i > start:
			end = i
		}
		if start >= 0 && end < len(in) {
			break
		}
	}
	if start < 0 {
		return nil, fmt.Errorf("the object has no function %s: rebuild it", filterFunction)
	}
	head := asm.Instructions{asm.Mov.Imm32(asm.R0, 0)}
	if usesLength && parameters(in[start]) < 3 {
		head = append(head, asm.Mov.Reg(asm.R3, asm.R2), asm.Sub.Reg(asm.R3, asm.R1))
	}
	head[0].Metadata = in[start].Metadata
	out := append(asm.Instructions{}, in[:start]...)
	out = append(append(out, head...), body...)
	return append(out, in[end:]...), nil
}

func parameters(ins asm.Instruction) int {
	f := btf.FuncMetadata(&ins)
	if proto, ok := f.Type.(*btf.FuncProto); ok {
		return len(proto.Params)
	}
	return 0
}
