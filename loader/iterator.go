package loader

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/weirflow/weir/bpf"
)

// The sweep's iterator goes through the flow table in half the time that it takes by
// keys, and without keeping soft interrupts from its CPU. It takes CAP_PERFMON and a
// kernel that describes its types (BTF).

// loadIterator loads it over the first instance's maps, and says so where that fails.
func (a *Attachment) loadIterator(o *Options) {
	a.warnings = slices.DeleteFunc(a.warnings, func(w string) bool { return strings.HasPrefix(w, noIterator) })
	if a.copied {
		return // that there is none is part of what metering without CAP_PERFMON means
	}
	program, err := loadIterator(a.instances[0].maps, func(spec *ebpf.CollectionSpec) error {
		return setConstants(spec, o, 0, a.ports[0].linkType)
	})
	if err != nil {
		a.withoutIterator(err)
		return
	}
	a.instances[0].programs[bpf.WeirProgWeirSweepWalk] = program
}

// noIterator is what it means, before the reason.
const noIterator = "a sweep of many flows takes twice the time: "

func (a *Attachment) withoutIterator(why error) {
	a.warnings = append(a.warnings, noIterator+why.Error())
}

func loadIterator(shared map[string]*ebpf.Map, set func(*ebpf.CollectionSpec) error) (*ebpf.Program, error) {
	spec, err := object(false)
	if err != nil {
		return nil, fmt.Errorf("read the metering programs: %w", err)
	}
	if err := set(spec); err != nil {
		return nil, err
	}
	keepPrograms(spec, map[string]bool{bpf.WeirProgWeirSweepWalk: true})
	replacements := map[string]*ebpf.Map{}
	for _, name := range sharedMaps {
		replacements[name] = shared[name]
		spec.Maps[name].MaxEntries = shared[name].MaxEntries()
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replacements})
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		return nil, fmt.Errorf("load the sweep's iterator: %w: it takes a kernel that has its types (CONFIG_DEBUG_INFO_BTF)", err)
	case err != nil:
		return nil, explain("load the sweep's iterator", err)
	}
	defer coll.Close()
	return coll.DetachProgram(bpf.WeirProgWeirSweepWalk), nil
}

// openIterator makes the iterator of the program, where there is one, ready to be read.
func (a *Attachment) openIterator() {
	first := a.instances[0]
	program := first.programs[bpf.WeirProgWeirSweepWalk]
	if program == nil {
		return
	}
	iterator, err := link.AttachIter(link.IterOptions{Program: program, Map: first.maps[bpf.WeirMapFlows]})
	if err != nil {
		a.withoutIterator(explain("attach the sweep's iterator to the flow table", err))
		return
	}
	a.iterator = iterator
}

// closeIterator is for who does not need it any more, or never had it.
func (a *Attachment) closeIterator() error {
	if a.iterator == nil {
		return nil
	}
	err := a.iterator.Close()
	a.iterator = nil
	return err
}

// probeIterator loads and reads it over maps of a trial's.
func probeIterator(shared map[string]*ebpf.Map) Check {
	const name = "sweep iterator"
	const advice = "weir does without; a sweep of many flows then takes twice the time"
	if !currentCapabilities().perfmon() {
		return Check{Name: name, OK: true, Detail: "not without CAP_PERFMON", Advice: advice}
	}
	if err := tryIterator(shared); err != nil {
		return Check{Name: name, OK: true, Detail: errorText(err), Advice: advice}
	}
	return Check{Name: name, OK: true, Detail: "works: a sweep of many flows takes half the time"}
}

func tryIterator(shared map[string]*ebpf.Map) error {
	program, err := loadIterator(shared, func(*ebpf.CollectionSpec) error { return nil })
	if err != nil {
		return err
	}
	defer program.Close()
	iterator, err := link.AttachIter(link.IterOptions{Program: program, Map: shared[bpf.WeirMapFlows]})
	if err != nil {
		return err
	}
	defer iterator.Close()
	pieces, err := iterator.Open()
	if err != nil {
		return err
	}
	return pieces.Close()
}
