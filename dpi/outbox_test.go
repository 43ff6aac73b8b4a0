package dpi

import (
	"bytes"
	"testing"

	"github.com/weirflow/weir/userspace"
)

// A batch that goes round holds nothing of the packets that were in it, written or
// dropped.
func TestH10SamplesLeaveNothingInTheOutbox(t *testing.T) {
	secret := []byte("what somebody sent")
	for name, end := range map[string]func(*outbox){
		"written": func(o *outbox) { o.giveBack(<-o.full) },
		"dropped": func(o *outbox) { o.goDown() },
	} {
		t.Run(name, func(t *testing.T) {
			var o outbox
			o.init()
			for range 10 {
				o.sample(&userspace.Sample{Packet: secret}, true, nil)
			}
			held := o.cur.b
			if !bytes.Contains(held, secret) {
				t.Fatal("the batch does not hold the samples")
			}
			o.flush()
			end(&o)
			if bytes.Contains(held, secret) {
				t.Error("the batch still holds the samples")
			}
			if len(o.free) != batches {
				t.Errorf("%d batches are free of %d", len(o.free), batches)
			}
		})
	}
}
