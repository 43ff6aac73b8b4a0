package main

import (
	"fmt"
	"slices"
	"strings"
)

// became tells what weir makes of each frame of a flow that only the other side
// has: none of them is lost without a word.
func (f *frames) became(flow row) string {
	var told []string
	for _, x := range f.theirs[tupleOfRow(flow).key()] {
		told = append(told, fmt.Sprintf("frame %d %s", x.number, x.became()))
	}
	const most = 3
	if n := len(told) - most; n > 0 {
		told = slices.Insert(told[:most], most, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(told, ", ")
}

func (f *frame) became() string {
	if !f.metered {
		return fmt.Sprintf("is ignored as %s", f.status)
	}
	return fmt.Sprintf("is metered as %s", f.ours)
}

func (t tuple) String() string {
	return fmt.Sprintf("%s and %s/%d vlan %d", t.ends[0], t.ends[1], t.protocol, t.vlan)
}
