package main

import "github.com/weirflow/weir/dpi/ndpi"

// ndpiAlone shows nDPI the samples that it wants, and asks for a verdict when it
// wants no more, or where the flow closes.
func ndpiAlone(h *inspected) error {
	m, err := ndpi.Open(ndpi.Files{})
	if err != nil {
		return err
	}
	defer m.Close()
	flows := make([]ndpi.Flow, h.flows)
	var result ndpi.Result
	for n := range h.events {
		e := &h.events[n]
		f := &flows[e.flow]
		if !e.closes && !m.Feed(f, e.sample.Packet, e.sample.WireLength, e.sample.TimeNs/1e6).Done() {
			continue
		}
		if *f != nil {
			m.Finish(*f, &result, nil)
			*f = nil
		}
	}
	return nil
}
