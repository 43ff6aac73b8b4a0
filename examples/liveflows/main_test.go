package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirflow/weir/bpf/bpftest"
)

// The program is built, meters loopback of a namespace while ping runs in it,
// and is interrupted.
func TestPingOnLoopbackIsOneFlow(t *testing.T) {
	program := filepath.Join(t.TempDir(), "liveflows")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	bpftest.NewNamespace(t)
	var out bytes.Buffer
	meter := exec.Command(program, "lo")
	meter.Stdout = &out
	messages, err := meter.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := meter.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = meter.Process.Kill() })
	if line, _ := bufio.NewReader(messages).ReadString('\n'); line != "metering lo\n" {
		t.Fatalf("it says %q (this test needs the privilege to load BPF programs: run as root)", line)
	}
	if out, err := exec.Command("ping", "-c", "3", "-i", "0.1", "127.0.0.1").CombinedOutput(); err != nil {
		t.Fatalf("ping: %v\n%s", err, out)
	}
	if err := meter.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := meter.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	// Loopback shows each packet twice: leaving, and arriving.
	if want := "127.0.0.1:0 -> 127.0.0.1:0 protocol 1: 12 packets, 1176 octets\n"; !strings.Contains(out.String(), want) {
		t.Errorf("flows:\n%swant %s", out.String(), want)
	}
}
