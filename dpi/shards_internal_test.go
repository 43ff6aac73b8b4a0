package dpi

import (
	"testing"

	"github.com/weirflow/weir/bpf"
)

func TestFlowsBetweenTwoHostsHaveOneProcess(t *testing.T) {
	all := shards{new(Worker), new(Worker), new(Worker), new(Worker)}
	flows := map[*Worker]int{}
	for i := range 4096 {
		var k bpf.Key
		copy(k.Addr[0][:], []byte{0x20, 1, 0xd, 0xb8})
		k.Addr[0][15], k.Addr[1][14], k.Addr[1][15] = 1, byte(i>>8), byte(i)
		w := all.of(&k)
		flows[w]++
		k.Port, k.Protocol, k.VlanId = [2]uint16{uint16(i), 443}, 17, 7
		if all.of(&k) != w {
			t.Fatalf("flow %d between the same hosts has another process", i)
		}
	}
	for i, w := range all {
		if n := flows[w]; n < 700 || n > 1400 {
			t.Errorf("process %d has %d of 4,096 pairs of hosts", i, n)
		}
	}
	var k bpf.Key
	if n := testing.AllocsPerRun(100, func() { all.of(&k) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
