package feature

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// add puts a packet into the record by the rules of bpf/types.h, written out
// once more for the test.
func add(r *bpf.Record, direction int, size uint32, us uint64) {
	n := r.Dir[0].Packets + r.Dir[1].Packets
	if n < uint64(bpf.SPLTMax) {
		r.SpltDirection |= uint32(direction) << n
		r.SpltSize[n] = size
	}
	if n > 0 {
		gap := us - max(r.Dir[0].LastNs, r.Dir[1].LastNs)/1000
		addGap(gap, n == 1, &r.IatUs, &r.IatSq, &r.IatMinUs, &r.IatMaxUs)
		if n < uint64(bpf.SPLTMax) {
			r.SpltIatUs[n] = uint32(gap)
		}
	}
	d := &r.Dir[direction]
	if d.Packets > 0 {
		addGap(us-d.LastNs/1000, d.Packets == 1, &d.IatUs, &d.IatSq, &d.IatMinUs, &d.IatMaxUs)
		d.SizeMin = min(d.SizeMin, size)
	} else {
		d.SizeMin, d.FirstNs = size, us*1000
	}
	d.Packets++
	d.Octets += uint64(size)
	d.SizeSq += uint64(size) * uint64(size)
	d.SizeMax = max(d.SizeMax, size)
	d.LastNs = us * 1000
}

func addGap(gap uint64, first bool, sum, squares *uint64, least, most *uint32) {
	*sum += gap
	*squares += gap * gap
	if first || uint32(gap) < *least {
		*least = uint32(gap)
	}
	*most = max(*most, uint32(gap))
}

// The reference's early-packet vectors hold every packet of a short flow. From
// them and nothing else the record is made again, and all counts, times and
// statistics must come out as the reference's.
func TestColumnsOfShortFlowsAreTheReferences(t *testing.T) {
	const captures = "../../../shared/captures"
	answers, err := filepath.Glob(captures + "/nfstream/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) == 0 {
		t.Skip("needs the reference's answers in ../shared/captures beside the repository")
	}
	flows := 0
	for _, path := range answers {
		flows += compareShortFlows(t, path)
	}
	if flows < 1000 {
		t.Errorf("only %d flows compared, want thousands", flows)
	}
}

// lastMs is the latest time that nanoseconds in 64 bits can tell, in the year
// 2554. One capture there is of the year 150000.
const lastMs = math.MaxUint64 / nsPerMs

func compareShortFlows(t *testing.T, path string) (compared int) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	columns := Columns(Options{Statistics: true, SPLT: 20})
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var want map[string]any
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if want["bidirectional_packets"].(float64) > 20 || want["bidirectional_last_seen_ms"].(float64) > lastMs {
			continue
		}
		compared++
		row := &Row{Flow: &userspace.Flow{Record: recordOf(want)}}
		for name, got := range values(columns, row) {
			switch v := want[name].(type) {
			case float64:
				if computed(name) && math.Abs(got.(float64)-v) > 1e-9*math.Abs(v) {
					t.Errorf("%s, flow %v: %s = %v, want %v", filepath.Base(path), want["id"], name, got, v)
				}
			case []any:
				sameList(t, name, got.(string), v)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return compared
}

// computed tells the columns that follow from sizes, directions and times.
func computed(name string) bool {
	for _, end := range []string{"_ps", "_piat_ms", "_duration_ms", "_packets", "_bytes", "_seen_ms"} {
		if strings.HasSuffix(name, end) {
			for _, f := range tcpFlags {
				if strings.HasSuffix(name, f.name+"_packets") {
					return false
				}
			}
			return true
		}
	}
	return false
}

func recordOf(answer map[string]any) (r bpf.Record) {
	us := uint64(answer["bidirectional_first_seen_ms"].(float64)) * 1000
	for i, direction := range answer["splt_direction"].([]any) {
		if direction.(float64) < 0 {
			break
		}
		us += uint64(answer["splt_piat_ms"].([]any)[i].(float64)) * 1000
		add(&r, int(direction.(float64)), uint32(answer["splt_ps"].([]any)[i].(float64)), us)
	}
	return r
}

func sameList(t *testing.T, name, got string, want []any) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if list := strings.ReplaceAll(got, " ", ","); list != string(text) {
		t.Errorf("%s = %s, want %s", name, list, text)
	}
}
