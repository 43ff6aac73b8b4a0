// Package summary adds up the flows of a run and prints what it ends with: how
// many flows, why they ended, the top applications, and the ledger.
package summary

import (
	"cmp"
	"slices"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/userspace"
)

// MaxApplications bounds the applications that are told apart; what comes after
// is added up under Other.
const MaxApplications = 1024

// Other is the application under which the rest is added up.
const Other = "(other)"

// endReasons is the number of flow end reasons, IPFIX 136 with 0 for none.
const endReasons = int(bpf.WeirFlowEndReasonEND_LACK_OF_RESOURCES) + 1

// Totals is flows and what is in them, octets in the accounting mode.
type Totals struct {
	Flows uint64
	userspace.Count
}

func (t *Totals) add(f *userspace.Flow) {
	t.Flows++
	t.Count = t.Count.Plus(userspace.Count{Packets: f.Packets(), Octets: f.Octets()})
}

// An Application is what an application had.
type Application struct {
	Name string
	Totals
}

// A Summary adds up flows. It is for one goroutine; its zero value is empty.
type Summary struct {
	total        Totals
	byEndReason  [endReasons]Totals
	applications map[string]*Totals
}

// Add counts a flow.
func (s *Summary) Add(f *userspace.Flow) {
	s.total.add(f)
	if r := int(f.EndReason()); r < endReasons {
		s.byEndReason[r].add(f)
	}
	if f.L7 != nil {
		s.application(f.L7.ApplicationName).add(f)
	}
}

func (s *Summary) application(name string) *Totals {
	if t, ok := s.applications[name]; ok {
		return t
	}
	if s.applications == nil {
		s.applications = make(map[string]*Totals)
	}
	if len(s.applications) >= MaxApplications && name != Other {
		return s.application(Other)
	}
	t := new(Totals)
	s.applications[name] = t
	return t
}

// Total is all flows.
func (s *Summary) Total() Totals { return s.total }

// ByEndReason is the flows that ended for the reason.
func (s *Summary) ByEndReason(r bpf.EndReason) Totals {
	if int(r) < endReasons {
		return s.byEndReason[r]
	}
	return Totals{}
}

// Top returns the n applications with the most octets, most first; ties by
// packets, then by name. Flows that nothing classified are in none.
func (s *Summary) Top(n int) []Application {
	all := make([]Application, 0, len(s.applications))
	for name, t := range s.applications {
		all = append(all, Application{name, *t})
	}
	slices.SortFunc(all, func(a, b Application) int {
		return cmp.Or(cmp.Compare(b.Octets, a.Octets), cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(n, len(all))]
}
