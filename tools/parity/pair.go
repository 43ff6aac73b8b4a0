package main

import "fmt"

// A pairing is which flows of two sides are the same.
type pairing struct {
	pairs   [][2]row // theirs, ours
	missing []row    // only theirs
	extra   []row    // only ours
}

// pair joins flows of equal identity, in their order. What one identity leaves
// alone the next one may join.
func pair(theirs, ours []row, identities ...func(row) string) pairing {
	p := pairing{missing: theirs, extra: ours}
	for _, identity := range identities {
		p.join(identity)
	}
	return p
}

func (p *pairing) join(identity func(row) string) {
	waiting := map[string][]int{}
	for i, o := range p.extra {
		waiting[identity(o)] = append(waiting[identity(o)], i)
	}
	joined := make([]bool, len(p.extra))
	theirs := p.missing
	p.missing = nil
	for _, r := range theirs {
		id := identity(r)
		if len(waiting[id]) == 0 {
			p.missing = append(p.missing, r)
			continue
		}
		i := waiting[id][0]
		waiting[id] = waiting[id][1:]
		joined[i] = true
		p.pairs = append(p.pairs, [2]row{r, p.extra[i]})
	}
	var extra []row
	for i, o := range p.extra {
		if !joined[i] {
			extra = append(extra, o)
		}
	}
	p.extra = extra
}

// identity is what a flow is paired by.
func identity(r row) string {
	return fmt.Sprintf("%s at %.0f", conversation(r), r["bidirectional_first_seen_ms"])
}

// conversation is the identity of a flow without its time.
func conversation(r row) string {
	return fmt.Sprintf("%v:%v>%v:%v/%v vlan %v", r["src_ip"], r["src_port"], r["dst_ip"], r["dst_port"],
		r["protocol"], r["vlan_id"])
}
