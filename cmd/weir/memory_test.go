package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/tools/procstatus"
	"github.com/weirflow/weir/tools/soak"
)

// writeFlows writes a capture of that many flows of one packet, 10 µs apart.
func writeFlows(w io.Writer, flows int) error {
	b := bufio.NewWriterSize(w, 1<<20)
	header := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}
	if _, err := b.Write(header); err != nil {
		return err
	}
	packet := make([]byte, 16+60)
	packet[8], packet[12] = 60, 60
	copy(packet[16+12:], []byte{8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 0, 0, 0, 192, 0, 2, 1, 0x20, 0, 0x30, 0, 0, 26})
	for n := range flows {
		binary.LittleEndian.PutUint32(packet, uint32(n/100_000))
		binary.LittleEndian.PutUint32(packet[4:], uint32(n%100_000*10))
		binary.BigEndian.PutUint32(packet[16+26:], 10<<24|uint32(n))
		if _, err := b.Write(packet); err != nil {
			return err
		}
	}
	return b.Flush()
}

// More flows at once than may be open come through a pipe: all come
// out, each packet once, and memory keeps within its bound.
func TestA9FlowsThroughAPipeTakeBoundedMemory(t *testing.T) {
	flows, limit, open := 300_000, []string{"--max-flows", "100000"}, 100_000
	if soak.Full() {
		flows, limit, open = 10_000_000, nil, 1<<20 // the default
	}
	for _, c := range []struct {
		name string
		args []string
		most int // MiB
	}{
		{"core columns", []string{"--dissections", "0"}, soak.Of(80, 600)},
		{"with statistics", []string{"--dissections", "0", "--statistics"}, soak.Of(110, 600)},
		{"with labels", nil, soak.Of(150, 600)},
	} {
		t.Run(c.name, func(t *testing.T) {
			said, used := replayFlows(t, flows, append(limit, c.args...)...)
			for _, line := range []string{
				fmt.Sprintf(`lack of resources +%d +%[1]d`, flows-open),
				fmt.Sprintf(`delivered +%d +%d`, flows, 60*flows),
			} {
				if !regexp.MustCompile(`(?m)^ +` + line).MatchString(said) {
					t.Errorf("nothing like %q in the summary: %s", line, said)
				}
			}
			if used > c.most {
				t.Errorf("%d MiB, want %d or less", used, c.most)
			}
			t.Logf("measured: %s: %d flows through a pipe, %d open at a time, %d MiB at most", c.name, flows, open, used)
		})
	}
}

// peak is the most MiB that a process has had resident, when it has ended. What wait
// tells of it will not do: that counts what its parent had before the exec.
func peak(pid int) (mib int) {
	for {
		process, err := procstatus.Of(pid)
		kib := process.Number("VmHWM")
		if err != nil || kib == 0 { // it is no more, or a zombie
			return mib
		}
		mib = kib >> 10
		time.Sleep(5 * time.Millisecond)
	}
}

// replayFlows has weir read that many flows from a pipe, and returns what it says
// and the most MiB that it took.
func replayFlows(t *testing.T, flows int, args ...string) (said string, used int) {
	t.Helper()
	weir := exec.Command(os.Args[0], append([]string{"replay", "-", "-o", "csv:" + os.DevNull}, args...)...)
	weir.Env = append(os.Environ(), asWeir+"=1")
	var stderr bytes.Buffer
	weir.Stderr = &stderr
	stdin, err := weir.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := weir.Start(); err != nil {
		t.Fatal(err)
	}
	most := make(chan int, 1)
	go func() { most <- peak(weir.Process.Pid) }()
	if err := errors.Join(writeFlows(stdin, flows), stdin.Close()); err != nil {
		t.Error(err)
	}
	if err := weir.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return stderr.String(), <-most
}
