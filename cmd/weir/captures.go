package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/loader/filter"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/pcapfile"
)

// captures reads capture files one after the other as one input. What is wrong
// with one ends it, is kept, and does not keep the next from being read.
type captures struct {
	paths []string
	stdin io.Reader
	say   speaker
	bar   *bar // nil for none
	// filtered: a filter decides which link types matter.
	filtered bool

	current  *pcapfile.Reader
	next     int // in paths
	whole    int // files read to their end
	packets  uint64
	begun    uint64 // packets read before the current file
	linkType uint32 // of the packet that was read last
	unread   unreadTypes
	results  []result
	clamped  uint64
}

// A result is how a file ended.
type result struct {
	path    string
	packets uint64
	err     error // nil at the end of the file
}

// ReadPacket implements userspace.PacketSource. Its only error is io.EOF.
func (c *captures) ReadPacket(p *userspace.CapturedPacket) error {
	for {
		if c.current == nil && !c.open() {
			return io.EOF
		}
		err := c.current.ReadPacket(p)
		if err == nil {
			c.linkType = p.LinkType
			c.packets++
			if !c.filtered {
				c.unread.count(p.LinkType)
			}
			c.progress()
			return nil
		}
		c.ended(err)
	}
}

// open opens the next file that can be.
func (c *captures) open() bool {
	for c.next < len(c.paths) {
		path := c.paths[c.next]
		c.next++
		c.begun = c.packets
		var err error
		if path == "-" {
			c.current, err = pcapfile.NewReader(named{c.stdin, "standard input"})
		} else {
			c.current, err = pcapfile.Open(path)
		}
		if err == nil {
			return true
		}
		c.current = nil
		c.conclude(err)
	}
	return false
}

// ended books how the current file ended.
func (c *captures) ended(err error) {
	if errors.Is(err, io.EOF) {
		c.whole++
		err = nil
	}
	c.conclude(errors.Join(err, c.close()))
}

// conclude keeps how the file that was opened last ended.
func (c *captures) conclude(err error) {
	c.results = append(c.results, result{c.paths[c.next-1], c.packets - c.begun, err})
}

func (c *captures) close() error {
	if c.current == nil {
		return nil
	}
	c.clamped += c.current.TimesClamped()
	c.bar.done(c.current.Size())
	err := c.current.Close()
	c.current = nil
	return err
}

// progressEvery is how many packets pass between looks at the progress.
const progressEvery = 1 << 14

func (c *captures) progress() {
	if c.bar != nil && c.packets%progressEvery == 0 {
		c.bar.at(c.current.Offset())
	}
}

// report tells what was wrong with the input.
func (c *captures) report() error {
	c.bar.end()
	if c.current != nil { // the run was interrupted
		c.conclude(c.close())
	}
	code := exitComplete
	for i := range c.results {
		c.tell(&c.results[i])
		if err := c.results[i].err; err != nil && code != exitFailed {
			code = captureCode(err)
		}
	}
	if len(c.paths) > 1 {
		c.say.note("files: %d, read to their end: %d", len(c.paths), c.whole)
	}
	if unread := c.unread.String(); unread != "" {
		c.say.note("ignored, as link types that are not read: %s", unread)
	}
	if c.clamped > 0 {
		c.say.note("%d packets bear a time outside of 1970 to 2262 and were given the nearest one", c.clamped)
	}
	if code == exitComplete {
		return nil
	}
	return &codedError{code: code}
}

// tell tells how a file ended; one that is whole only where there are several, or -v
// asks for it.
func (c *captures) tell(r *result) {
	switch several := len(c.paths) > 1; {
	case r.err != nil && several:
		c.say.always("%s; %s before that", oneLine(r.err), packetsOf(r.packets))
	case r.err != nil:
		c.say.always("%s", oneLine(r.err))
	case several:
		c.say.note("%s: %s", r.path, packetsOf(r.packets))
	default:
		c.say.detail("%s: read to its end", r.path)
	}
}

// captureCode tells a file that cannot be read from one whose content is wrong.
func captureCode(err error) int {
	var e *pcapfile.Error
	if errors.As(err, &e) && e.Kind != pcapfile.CannotOpen {
		return exitDamaged
	}
	return exitFailed
}

// matcher returns the filter that an expression stands for, for packets of
// whatever link type was read last; nil for no expression.
func (c *captures) matcher(expression string) (func([]byte, uint32) bool, error) {
	if expression == "" {
		return nil, nil
	}
	// An expression that means nothing on Ethernet is taken for a mistake.
	ethernet, err := compile(expression, uint32(bpf.WeirLinkTypeLINK_ETHERNET))
	if err != nil {
		return nil, err
	}
	c.filtered = true
	seldom := &seldom{say: c.say}
	byLink := map[uint32]func([]byte, uint32) bool{uint32(bpf.WeirLinkTypeLINK_ETHERNET): ethernet}
	return func(data []byte, length uint32) bool {
		match, known := byLink[c.linkType]
		if !known {
			if match, err = compile(expression, c.linkType); err != nil {
				seldom.tell("link type", "no packet of link type %d matches: %v", c.linkType, err)
				match = func([]byte, uint32) bool { return false }
			}
			byLink[c.linkType] = match
		}
		return match(data, length)
	}, nil
}

func compile(expression string, linkType uint32) (func([]byte, uint32) bool, error) {
	program, err := filter.Compile(expression, int(linkType))
	if err != nil {
		return nil, err
	}
	match, err := filter.Matcher(program)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", expression, err)
	}
	return onLoopback(linkType, match), nil
}

// named gives a reader the name that errors know it by.
type named struct {
	io.Reader
	name string
}

func (n named) Name() string { return n.name }
