package pcapfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory of zstd: levels up to 20 need no more. RFC 8878
// section 3.1.1.1.2 asks decoders for 8 MiB at least.
const maxWindow = 32 << 20

// compression names the compressor whose magic head begins with, or is empty.
func compression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 0x08}):
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	case len(head) >= 4 && head[0]>>4 == 5 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return "zstd" // a skippable frame, RFC 8878 section 3.1.2
	}
	return ""
}

// decompress puts a decompressor of the kind named between the input and the
// reader's stream.
func (r *Reader) decompress(name string) error {
	raw := r.stream
	buffered := bufio.NewReaderSize((*remainder)(&raw), firstBuffer)
	r.compression = name
	var src io.Reader
	var err error
	if name == "gzip" {
		src, err = gzip.NewReader(buffered)
	} else {
		src, err = r.newZstd(buffered)
	}
	r.stream = newStream(src)
	if err != nil {
		r.stop = err
		return r.brokenOff("")
	}
	return nil
}

// newZstd decodes in the calling goroutine and in bounded memory.
func (r *Reader) newZstd(src io.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, func() error { d.Close(); return nil })
	return d, nil
}

// inputReason words why the stream gives no more.
func (r *Reader) inputReason(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the input ends"
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Sprintf("the zstd window is over %d MiB; decompress with zstd --long=31 -dc and read from standard input", maxWindow>>20)
	case errors.Is(err, io.ErrUnexpectedEOF) && r.compression != "":
		return fmt.Sprintf("the %s data breaks off", r.compression)
	case r.compression != "":
		return fmt.Sprintf("the %s data cannot be decompressed (%v)", r.compression, err)
	}
	return fmt.Sprintf("reading stopped (%v)", err)
}
