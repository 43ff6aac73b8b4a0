package worker

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestSamplesOfOnePayloadAreAlike(t *testing.T) {
	first := udp(53, "payload")
	elsewhere := udp(5353, "payload")
	copy(elsewhere[12:], []byte{198, 51, 100, 9})
	otherPayload := udp(53, "Payload")
	empty, emptyElsewhere := udp(53, ""), udp(54, "")
	for name, c := range map[string]struct {
		a, b  []byte
		alike bool
	}{
		"other ends":             {first, elsewhere, true},
		"another payload":        {first, otherPayload, false},
		"no payload, other ends": {empty, emptyElsewhere, false},
		"what is no packet":      {[]byte("x"), []byte("y"), false},
	} {
		if alike := DigestOf(c.a) == DigestOf(c.b); alike != c.alike {
			t.Errorf("%s: alike %v", name, alike)
		}
	}
}

func TestTheWitnessHoldsWhatIsWorkedOn(t *testing.T) {
	w := make(Witness, WitnessOctets)
	w.hold([]byte("a packet"))
	if b, err := Witnessed(bytes.NewReader(w)); err != nil || string(b) != "a packet" {
		t.Errorf("%q, %v", b, err)
	}
	w.let()
	if b, err := Witnessed(bytes.NewReader(w)); err != nil || len(b) != 0 {
		t.Errorf("when it is done: %q, %v", b, err)
	}
	// The process may have written anything.
	binary.LittleEndian.PutUint32(w, 0xffffffff)
	if b, err := Witnessed(bytes.NewReader(w)); err != nil || len(b) != PacketMax {
		t.Errorf("%d octets, %v", len(b), err)
	}
	Witness(nil).hold([]byte("nobody is told"))
	Witness(nil).let()
}

func TestAQuarantinedSampleIsNotLookedAt(t *testing.T) {
	packet := udp(53, "payload")
	sample := aSample
	sample.Packet = packet
	input := AppendHello(nil, Hello{Dissections: 20, MaxFlows: 10, Quarantine: []Digest{{}, DigestOf(udp(54, "payload"))}})
	for range 3 {
		input = AppendSample(input, &sample)
		input = AppendSample(input, &aSample)
	}
	e, _, err := serve(t, input, 1<<20)
	if err != nil || e.quarantined != 3 || e.samples != 3 {
		t.Errorf("%+v, %v", e, err)
	}
}
