package pinned

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/weirflow/weir/bpf"
)

// AboutName is the map in a pinned meter's directory that holds its About.
const AboutName = "about"

// A Meter is a pinned meter that this process reads, and no other.
type Meter struct {
	About   About
	Handles bpf.Handles // the Meter's, until Close
	lock    *os.File
}

// Open opens the meter in a directory for reading. Its error is an *InUseError if
// somebody else reads it, a *LayoutError if it is of a build that lays out its
// records otherwise.
func Open(dir string) (*Meter, error) {
	lock, err := Lock(dir)
	if err != nil {
		return nil, err
	}
	m := &Meter{lock: lock}
	if err := m.open(dir); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Meter) open(dir string) (err error) {
	if m.About, err = ReadAbout(dir); err != nil {
		return err
	}
	if err := m.About.CheckLayout(dir); err != nil {
		return err
	}
	h := &m.Handles
	for _, p := range []struct {
		into     **ebpf.Map
		name     string
		readOnly bool
	}{
		{&h.Events, bpf.WeirMapEvents, false}, // its reader's position is mapped for writing
		{&h.Progress, bpf.WeirMapProgress, false},
		{&h.SweepState, bpf.WeirMapSweepState, false},
		{&h.Flows, bpf.WeirMapFlows, true},
		{&h.Ledgers, bpf.WeirMapLedgers, true},
	} {
		if *p.into, err = Map(dir, p.name, p.readOnly); err != nil {
			return err
		}
	}
	if h.Sweep, err = Program(dir, bpf.WeirProgWeirSweep); err != nil {
		return err
	}
	if h.DPIDone, err = Program(dir, bpf.WeirProgWeirDpiDone); err != nil {
		return err
	}
	if h.SweepIter, err = iterator(dir, h.Flows); err != nil {
		return err
	}
	h.Object = m.About.Object
	for i, p := range m.About.Points {
		h.Points = append(h.Points, bpf.Point{Index: uint8(i), Name: p.Name, Ifindex: p.Ifindex})
	}
	return nil
}

// Close gives the meter up to the next reader.
func (m *Meter) Close() error {
	h := &m.Handles
	var errs []error
	for _, o := range []*ebpf.Map{h.Events, h.Progress, h.SweepState, h.Flows, h.Ledgers} {
		errs = append(errs, o.Close())
	}
	for _, o := range []*ebpf.Program{h.Sweep, h.DPIDone} {
		errs = append(errs, o.Close())
	}
	if h.SweepIter != nil {
		errs = append(errs, h.SweepIter.Close())
	}
	return errors.Join(append(errs, m.lock.Close())...)
}

// iterator makes the sweep's out of its program, nil where the meter has none, or where
// this process may not: then the sweep goes without.
func iterator(dir string, flows *ebpf.Map) (*link.Iter, error) {
	program, err := Program(dir, bpf.WeirProgWeirSweepWalk)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer program.Close()
	it, err := link.AttachIter(link.IterOptions{Program: program, Map: flows})
	if errors.Is(err, os.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, Explain(dir, bpf.WeirProgWeirSweepWalk, err)
	}
	return it, nil
}

// ReadAbout reads what the meter in a directory says of itself, whoever reads it.
func ReadAbout(dir string) (about About, err error) {
	m, err := Map(dir, AboutName, true)
	if errors.Is(err, os.ErrNotExist) {
		return about, fmt.Errorf("open the pinned meter %s: nothing in it says that it is one: choose another directory", dir)
	}
	if err != nil {
		return about, err
	}
	defer m.Close()
	value, err := m.LookupBytes(uint32(0))
	if err == nil {
		err = json.Unmarshal(bytes.TrimRight(value, "\x00"), &about)
	}
	if err != nil {
		return about, fmt.Errorf("read what the pinned meter %s says of itself: %w", dir, err)
	}
	return about, nil
}

// Map opens a map of the directory.
func Map(dir, name string, readOnly bool) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), &ebpf.LoadPinOptions{ReadOnly: readOnly})
	if err != nil {
		return nil, Explain(dir, name, err)
	}
	return m, nil
}

// Program opens a program of the directory, to be run.
func Program(dir, name string) (*ebpf.Program, error) {
	program, err := ebpf.LoadPinnedProgram(filepath.Join(dir, name), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return nil, Explain(dir, name, err)
	}
	return program, nil
}

// Explain says what was opened, and what to do where that is not allowed.
func Explain(dir, name string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("open %s of the pinned meter %s: %w: run as root, or as a member of the group that the directory is of", name, dir, err)
	}
	return fmt.Errorf("open %s of the pinned meter %s: %w", name, dir, err)
}
