// Package pinned opens meters that are pinned in a directory of a BPF file system,
// for reading: what each says of itself, the lock that keeps it to one reader, its
// maps and programs. Package loader pins them; this one needs no privilege but to
// read the directory.
package pinned

import (
	"fmt"
	"time"

	"github.com/weirflow/weir/bpf"
)

// About is what a pinned meter says of itself. It is kept beside it, as JSON.
type About struct {
	Layout    string // bpf.LayoutHash of the build that made it
	Object    string // bpf.ObjectHash, or bpf.CopiedObjectHash, of the programs that run
	PID       int    // of the process that attached it, or adopted it last
	Attached  time.Time
	Namespace uint64 // the network namespace's inode
	Points    []Point
	Hooks     []string
	Warnings  []string
	Config    Config
	Direction string
	Hook      string
	XDPMode   string
	Ring      int    // octets
	Filter    string // SHA-256 over the compiled filter, empty without one
	// What the interfaces had counted around the attaching.
	Before, Begun Counters
	Links         []Link
	Gone          int // how often an interface was gone and returned
}

// A Point is an interface that a pinned meter observes.
type Point struct {
	Name     string // by which it was attached
	Now      string `json:",omitempty"` // what it was called when that was seen last, if it was renamed
	Ifindex  int
	LinkType bpf.LinkType
}

// A Link is what holds a program to an interface.
type Link struct {
	Pin     string // name in the directory
	Point   int
	Program string // name in the object
}

// Counters are an interface's own, or a difference of two readings.
type Counters struct{ Packets, Octets uint64 }

// Config is what shapes flows. It has the fields of the Config of package
// userspace, in the same order, so that one converts to the other; they mean the
// same.
type Config struct {
	IdleTimeout   time.Duration
	ActiveTimeout time.Duration
	Accounting    bpf.Accounting
	Statistics    bool
	TCPStatistics bool
	IPStatistics  bool
	TCPEnd        bool
	SPLT          int
	Samples       int
	SampleOctets  int
	DecodeTunnels bool
	MaxFlows      int
}

// Groups are what is kept of a flow beyond its core.
func (c *Config) Groups() bpf.Groups {
	return bpf.Groups{TCPEnd: c.TCPEnd, IPStatistics: c.IPStatistics, TCPStatistics: c.TCPStatistics, Statistics: c.Statistics, SPLT: c.SPLT}
}

// A LayoutError says that a pinned meter's records are laid out otherwise than
// this build reads them.
type LayoutError struct {
	Path        string
	Pinned, Own string // layout hashes
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("the pinned meter %s is of another build: its layout is %s, this one's %s: let that build end it, or give up what it holds with weir detach --pin %s --discard",
		e.Path, e.Pinned, e.Own, e.Path)
}

// CheckLayout returns a *LayoutError where nothing further of the meter in a
// directory may be read.
func (a *About) CheckLayout(dir string) error {
	own, err := bpf.LayoutHash()
	if err != nil {
		return err
	}
	if a.Layout != own {
		return &LayoutError{dir, a.Layout, own}
	}
	return nil
}
