package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weirflow/weir/userspace/decode"
)

// linkTypesMax is how many link types are told apart: a file may name any number.
const linkTypesMax = 16

// unreadTypes counts packets of link types that are not read.
type unreadTypes struct {
	last    uint32 // link type
	reads   bool   // frames of it are read
	packets map[uint32]uint64
	others  uint64 // packets of further types
}

func (u *unreadTypes) count(linkType uint32) {
	if linkType != u.last || u.packets == nil {
		u.last, u.reads = linkType, decode.Reads(linkType)
	}
	if u.packets == nil {
		u.packets = map[uint32]uint64{}
	}
	if u.reads {
		return
	}
	if _, known := u.packets[linkType]; !known && len(u.packets) == linkTypesMax {
		u.others++
		return
	}
	u.packets[linkType]++
}

// String lists them, as in "147 (12 packets), 195 (1 packet)"; it is empty if there
// were none.
func (u *unreadTypes) String() string {
	var list []string
	for _, linkType := range slices.Sorted(maps.Keys(u.packets)) {
		list = append(list, fmt.Sprintf("%d (%s)", linkType, packetsOf(u.packets[linkType])))
	}
	if u.others > 0 {
		list = append(list, "others ("+packetsOf(u.others)+")")
	}
	return strings.Join(list, ", ")
}

func packetsOf(n uint64) string {
	if n == 1 {
		return "1 packet"
	}
	return fmt.Sprintf("%d packets", n)
}
