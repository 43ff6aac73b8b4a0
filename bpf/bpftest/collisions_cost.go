package bpftest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/tools/soak"
)

// CostOfCollisions holds that n keys which collide under a hash that anybody can
// compute cost a table no more than others, as FAULTS A7 has it: 1.25 times at most,
// where keys that do collide would cost thousands. It says what they cost.
//
// All sets take their turn in each round, and of the rounds' ratios the median counts:
// whoever else is busy on the machine slows all of a round, or a few rounds. Few
// rounds tell nothing so fine, and are held to 3; a soak takes enough.
func CostOfCollisions(t *testing.T, n int, cost func(keys []bpf.Key) time.Duration) string {
	t.Helper()
	rounds, most := 3, 3.0
	if soak.Full() {
		rounds, most = 61, 1.25
	}
	sets := CollidingKeys(n)
	ratios := map[string][]float64{}
	for range rounds {
		took := map[string]time.Duration{}
		for name, keys := range sets {
			took[name] = cost(keys)
		}
		for name := range sets {
			ratios[name] = append(ratios[name], took[name].Seconds()/took["random"].Seconds())
		}
	}
	delete(ratios, "random")
	var text []string
	for _, name := range slices.Sorted(maps.Keys(ratios)) {
		slices.Sort(ratios[name])
		ratio := ratios[name][rounds/2]
		if ratio > most {
			t.Errorf("keys that collide under %s cost %.2f times what others do, want %.2f at most", name, ratio, most)
		}
		text = append(text, fmt.Sprintf("%s %.2f", name, ratio))
	}
	return fmt.Sprintf("%d keys that collide cost so many times what others do, in the median of %d rounds: %s", n, rounds, strings.Join(text, ", "))
}
