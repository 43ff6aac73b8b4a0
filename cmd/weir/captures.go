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

	current  *pcapfile.Reader
	next     int // in paths
	whole    int // files read to their end
	packets  uint64
	linkType uint32 // of the packet that was read last
	errs     []error
	clamped  uint64
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
		c.errs = append(c.errs, err)
	}
	return false
}

// ended books how the current file ended.
func (c *captures) ended(err error) {
	if errors.Is(err, io.EOF) {
		c.whole++
		c.say.detail("%s: read to its end", c.paths[c.next-1])
	} else {
		c.errs = append(c.errs, err)
	}
	c.close()
}

func (c *captures) close() {
	if c.current == nil {
		return
	}
	c.clamped += c.current.TimesClamped()
	c.bar.done(c.current.Size())
	if err := c.current.Close(); err != nil {
		c.errs = append(c.errs, err)
	}
	c.current = nil
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
	if len(c.paths) > 1 {
		c.say.note("files: %d, read to their end: %d", len(c.paths), c.whole)
	}
	if c.clamped > 0 {
		c.say.note("%d packets bear a time outside of 1970 to 2262 and were given the nearest one", c.clamped)
	}
	code := exitComplete
	for _, err := range c.errs {
		c.say.always("%s", oneLine(err))
		if code != exitFailed {
			code = captureCode(err)
		}
	}
	if code == exitComplete {
		return nil
	}
	return &codedError{code: code}
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
	byLink := map[uint32]func([]byte, uint32) bool{uint32(bpf.WeirLinkTypeLINK_ETHERNET): ethernet}
	return func(data []byte, length uint32) bool {
		match, known := byLink[c.linkType]
		if !known {
			if match, err = compile(expression, c.linkType); err != nil {
				c.say.always("no packet of link type %d matches: %v", c.linkType, err)
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
	return match, nil
}

// named gives a reader the name that errors know it by.
type named struct {
	io.Reader
	name string
}

func (n named) Name() string { return n.name }
