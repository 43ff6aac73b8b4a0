package handshake

// A reading is of the one message that is looked for, whose octets may come in any
// order: what a Stream, a DTLS and a QUIC have in common.
type reading struct {
	a       assembler
	ended   bool
	message []byte
}

// Message is the message with its header, or nil.
func (r *reading) Message() []byte { return r.message }

// Done tells that there is no more to be read, or nothing was.
func (r *reading) Done() bool { return r.ended }

// Size is the memory that is held.
func (r *reading) Size() int { return r.a.size() + cap(r.message) }

// Drop gives up what has not been read, and the message.
func (r *reading) Drop() {
	r.end()
	r.message = nil
}

func (r *reading) end() {
	r.ended = true
	r.a.drop()
}
