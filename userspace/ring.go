package userspace

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A ring reads a BPF ring buffer ahead of what it gives back to the kernel: a
// record stays where it is, and is read again by whoever comes after, until the
// position behind it is committed.
//
// Memory, as the kernel lays it out: a page with the consumer's position, which
// the reader writes; a page with the producer's; and the data, mapped twice in a
// row, so that a record that wraps around is in one piece.
type ring struct {
	consumer []byte
	producer []byte // and the data behind it
	data     []byte
	octets   uint64
	position uint64 // of the next record to read
}

// The header of a ring record: its length with two flags, and 4 octets of the
// kernel's.
const (
	ringHeaderOctets = 8
	ringBusy         = 1 << 31 // BPF_RINGBUF_BUSY_BIT: not written to its end
	ringDiscarded    = 1 << 30 // BPF_RINGBUF_DISCARD_BIT: given up by its writer
)

// errRingEmpty: everything was read. errRingBusy: a record is being written.
var (
	errRingEmpty = errors.New("nothing in the ring buffer")
	errRingBusy  = errors.New("the next ring record is being written")
)

// A RingError says that a ring buffer holds what no program writes.
type RingError struct {
	Position uint64
	Length   uint32
	Left     uint64 // octets that the producer has written from Position on
}

func (e *RingError) Error() string {
	return fmt.Sprintf("ring buffer at %d: a record of %d octets where %d are: somebody else moved its position; restart the meter",
		e.Position, e.Length, e.Left)
}

// openRing maps m. It begins at the consumer's position, or at from if that is
// further on.
func openRing(m *ebpf.Map, from uint64) (*ring, error) {
	page := os.Getpagesize()
	octets := int(m.MaxEntries())
	consumer, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring buffer's consumer page: %w", err)
	}
	producer, err := unix.Mmap(m.FD(), int64(page), page+2*octets, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Munmap(consumer)
		return nil, fmt.Errorf("map the ring buffer's data: %w", err)
	}
	r := &ring{consumer: consumer, producer: producer, data: producer[page:], octets: uint64(octets)}
	r.position = max(from, atomic.LoadUint64(position(consumer)))
	return r, nil
}

func position(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(unsafe.SliceData(page))) }

func (r *ring) size() int { return int(r.octets) }

// next returns the next record in place, and the position behind it. The record is
// valid until that position is committed. It is not passed before advance.
func (r *ring) next() (record []byte, behind uint64, err error) {
	if r.producer == nil {
		return nil, 0, os.ErrClosed
	}
	produced := atomic.LoadUint64(position(r.producer))
	for {
		left := produced - r.position
		if left == 0 {
			return nil, 0, errRingEmpty
		}
		start := r.position & (r.octets - 1)
		// The kernel clears the busy flag after it has written the data.
		header := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[start])))
		if header&ringBusy != 0 {
			return nil, 0, errRingBusy
		}
		length := header &^ ringDiscarded
		whole := (uint64(length) + ringHeaderOctets + 7) &^ 7
		if whole > left || left > r.octets {
			return nil, 0, &RingError{r.position, length, left}
		}
		if header&ringDiscarded == 0 {
			return r.data[start+ringHeaderOctets:][:length:length], r.position + whole, nil
		}
		r.position += whole
	}
}

// advance passes a record.
func (r *ring) advance(behind uint64) { r.position = behind }

// commit gives the room before a position back to the kernel.
func (r *ring) commit(behind uint64) {
	if r.consumer != nil {
		atomic.StoreUint64(position(r.consumer), behind)
	}
}

func (r *ring) close() error {
	if r.producer == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(r.consumer), unix.Munmap(r.producer))
	r.consumer, r.producer, r.data = nil, nil, nil
	return err
}
