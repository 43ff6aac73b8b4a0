package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// ofTypes is a pcapng with one packet of each link type.
func ofTypes(types ...uint16) []byte {
	block := func(kind uint32, body []byte) []byte {
		size := uint32(12 + len(body))
		b := binary.LittleEndian.AppendUint32(nil, kind)
		b = append(binary.LittleEndian.AppendUint32(b, size), body...)
		return binary.LittleEndian.AppendUint32(b, size)
	}
	words := func(w ...uint32) (b []byte) {
		for _, v := range w {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	file := block(0x0a0d0d0a, words(0x1a2b3c4d, 1, 1<<32-1, 1<<32-1))
	for _, linkType := range types {
		file = append(file, block(1, words(uint32(linkType), 0))...)
	}
	for i := range types {
		file = append(file, block(6, words(uint32(i), 0, 0, 4, 4, 0))...)
	}
	return file
}

func TestE5LinkTypesThatAreNotReadAreNamed(t *testing.T) {
	many := []uint16{1, 147, 195, 147}
	want := "weir: ignored, as link types that are not read: 147 (2 packets), 195 (1 packet)"
	code, f := weir(t, "replay", "-o", "csv:-", write(t, "x.pcapng", ofTypes(many...)))
	if code != exitComplete || !strings.Contains(f.err.String(), want+"\n") {
		t.Errorf("exit code %d, want %q: %s", code, want, f.err.String())
	}
	_, f = weir(t, "replay", "-q", "-o", "csv:-", write(t, "x.pcapng", ofTypes(many...)))
	if f.err.Len() > 0 {
		t.Errorf("-q says %s", f.err.String())
	}
	many = nil
	for linkType := range uint16(1000) {
		many = append(many, 1000+linkType)
	}
	_, f = weir(t, "replay", "-o", "csv:-", write(t, "x.pcapng", ofTypes(many...)))
	if want := fmt.Sprintf("1015 (1 packet), others (%d packets)\n", 1000-linkTypesMax); !strings.Contains(f.err.String(), want) {
		t.Errorf("want %q: %s", want, f.err.String())
	}
}
