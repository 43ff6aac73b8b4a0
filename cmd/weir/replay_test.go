package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/dpi"
)

func TestReplayWritesFlowsToStdoutAndTheLedgerToStderr(t *testing.T) {
	code, f := weir(t, "replay", http1)
	if code != exitComplete {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	for _, line := range lines(f.out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("stdout has %q, no JSON", line)
		}
	}
	if n := len(lines(f.out.String())); n != 5 {
		t.Errorf("%d flows, want 5", n)
	}
	for _, want := range []string{"flows by end reason", "L2 observed = metered + ignored", "L4 read = delivered + not sent"} {
		if !strings.Contains(f.err.String(), want) {
			t.Errorf("summary lacks %q", want)
		}
	}
	if dpi.Available() && !strings.Contains(f.err.String(), "HTTP") {
		t.Errorf("summary lacks the top applications: %s", f.err.String())
	}
}

func TestTheDefaultOutputOnATerminalIsATable(t *testing.T) {
	f := newFake()
	f.terminal = func(stream any) bool { return stream == f.stdout }
	if code := run(&f.environment, []string{"replay", http1}); code != exitComplete {
		t.Fatalf("exit code %d", code)
	}
	if got := f.out.String(); !strings.HasPrefix(got, "time ") || !strings.Contains(got, "192.0.2.1:") {
		t.Errorf("stdout has %q, no table", got)
	}
}

func TestProgressIsShownOnATerminalOnly(t *testing.T) {
	for name, c := range map[string]struct {
		terminal bool
		args     []string
		want     bool
	}{
		"a pipe":                    {false, []string{"replay", http1, "-o", "csv:-"}, false},
		"a terminal":                {true, []string{"replay", http1, "-o", "csv:" + os.DevNull}, true},
		"a terminal, quiet":         {true, []string{"replay", http1, "-o", "csv:" + os.DevNull, "-q"}, false},
		"a terminal that has flows": {true, []string{"replay", http1, "-o", "table:-"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.terminal = func(any) bool { return c.terminal }
			if code := run(&f.environment, c.args); code != exitComplete {
				t.Fatalf("exit code %d: %s", code, f.err.String())
			}
			if got := strings.Contains(f.err.String(), "\r"); got != c.want {
				t.Errorf("progress shown: %v, want %v: %q", got, c.want, f.err.String())
			}
		})
	}
}

func TestStandardInputIsACapture(t *testing.T) {
	for name, content := range map[string][]byte{"plain": read(t, http1), "gzip": zipped(t, read(t, http1))} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.stdin = bytes.NewReader(content)
			if code := run(&f.environment, []string{"replay", "-", "-o", "csv:-"}); code != exitComplete {
				t.Fatalf("exit code %d: %s", code, f.err.String())
			}
			if n := len(lines(f.out.String())); n != 6 {
				t.Errorf("%d lines, want a header and 5 flows", n)
			}
		})
	}
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBadInput(t *testing.T) {
	whole := read(t, http1)
	cut := write(t, "cut.pcap", whole[:2000])
	for name, c := range map[string]struct {
		paths []string
		code  int
		want  string
		flows int
	}{
		"missing":                 {[]string{"/nowhere/x.pcap"}, exitFailed, "open capture /nowhere/x.pcap: no such file or directory", 0},
		"a directory":             {[]string{t.TempDir()}, exitFailed, "is a directory", 0},
		"empty":                   {[]string{write(t, "empty.pcap", nil)}, exitDamaged, "empty.pcap", 0},
		"no capture":              {[]string{write(t, "text.pcap", []byte("no capture at all, but text"))}, exitDamaged, "not a capture", 0},
		"truncated":               {[]string{cut}, exitDamaged, "damaged at byte", 1},
		"truncated in its header": {[]string{write(t, "short.pcap", whole[:20])}, exitDamaged, "short.pcap", 0},
		"damaged, then whole":     {[]string{cut, http1}, exitDamaged, "damaged at byte", 5},
		"missing, then whole":     {[]string{"/nowhere/x.pcap", http1}, exitFailed, "no such file", 5},
		"both":                    {[]string{cut, "/nowhere/x.pcap"}, exitFailed, "no such file", 1},
	} {
		t.Run(name, func(t *testing.T) {
			code, f := weir(t, append([]string{"replay", "-q", "-o", "ndjson:-"}, c.paths...)...)
			said := lines(f.err.String())
			if code != c.code || len(said) < 1 || !strings.Contains(f.err.String(), c.want) {
				t.Errorf("exit code %d, stderr %q; want %d and %q", code, said, c.code, c.want)
			}
			if len(c.paths) == 1 && len(said) != 1 {
				t.Errorf("%d lines on stderr, want 1: %q", len(said), said)
			}
			if n := len(lines(f.out.String())); n != c.flows {
				t.Errorf("%d flows, want the %d before the damage", n, c.flows)
			}
		})
	}
}

// A packet at 2^64 - 1 seconds, in a file with times in seconds.
func TestD5TimesThatWereClampedAreTold(t *testing.T) {
	le := binary.LittleEndian
	b := []byte("\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00")
	block := func(kind uint32, body ...byte) {
		length := uint32(12 + len(body))
		b = append(le.AppendUint32(le.AppendUint32(b, kind), length), body...)
		b = le.AppendUint32(b, length)
	}
	block(1, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0, 0, 0, 0)
	block(6, append([]byte("\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x10\x00\x00\x00\x10\x00\x00\x00"), make([]byte, 16)...)...)
	code, f := weir(t, "replay", write(t, "future.pcapng", b))
	if want := "1 packets bear a time outside of 1970 to 2262 and were given the nearest one"; code != exitComplete || !strings.Contains(f.err.String(), want) {
		t.Errorf("exit code %d, stderr lacks %q: %s", code, want, f.err.String())
	}
}

func TestE9SeveralFilesAreOneInput(t *testing.T) {
	code, f := weir(t, "replay", "-o", "csv:-", "--dissections", "0", http1, http1)
	if code != exitComplete {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	if !strings.Contains(f.err.String(), "files: 2, read to their end: 2") {
		t.Errorf("stderr lacks the number of files: %s", f.err.String())
	}
	// The same packets again, within the idle timeout, fall into the same flows.
	rows := table(t, f.out.Bytes())
	if len(rows) != 5 {
		t.Errorf("%d flows, want 5", len(rows))
	}
}

// table reads CSV into a map for each row.
func table(t *testing.T, content []byte) (rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("CSV without a header: %v: %q", err, content)
	}
	for _, values := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = values[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func packetsOfRows(t *testing.T, content []byte) (packets int) {
	t.Helper()
	for _, row := range table(t, content) {
		n, err := strconv.Atoi(row["bidirectional_packets"])
		if err != nil {
			t.Fatal(err)
		}
		packets += n
	}
	return packets
}

// Of a thousand files a hundred are damaged: each has a line, in their order, which
// names the damage, and what is whole is complete.
func TestE9DamagedFilesAmongManyAreNamed(t *testing.T) {
	whole := read(t, http1)
	dir := t.TempDir()
	const files, every = 1000, 10
	args, damaged := []string{"replay", "-o", "csv:-", "--dissections", "0"}, []string{}
	for n := range files {
		path, content := fmt.Sprintf("%s/%04d.pcap", dir, n), whole
		if n%every == 3 {
			content, damaged = whole[:24+n], append(damaged, path)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	code, f := weir(t, args...)
	if code != exitDamaged {
		t.Errorf("exit code %d, want %d", code, exitDamaged)
	}
	_, one := weir(t, "replay", "-q", "-o", "csv:-", "--dissections", "0", http1)
	each := packetsOfRows(t, one.out.Bytes())
	said := f.err.String()
	for _, path := range damaged {
		if !strings.Contains(said, path+": damaged at byte") {
			t.Errorf("%s is not named", path)
		}
	}
	for n, line := range lines(said)[:files] {
		want := fmt.Sprintf("weir: %s/%04d.pcap: 68 packets", dir, n) // two of them are ARP
		if n%every == 3 {
			want = fmt.Sprintf("weir: read capture %s/%04d.pcap: damaged at byte ", dir, n)
		}
		if !strings.HasPrefix(line, want) {
			t.Fatalf("line %d of stderr is %q, want it to begin with %q", n, line, want)
		}
	}
	if want := fmt.Sprintf("files: %d, read to their end: %d", files, files-len(damaged)); !strings.Contains(said, want) {
		t.Errorf("stderr lacks %q", want)
	}
	packets := packetsOfRows(t, f.out.Bytes())
	if least := each * (files - len(damaged)); packets < least {
		t.Errorf("%d packets, want those of the whole files, %d, or more", packets, least)
	}
	if t.Failed() {
		t.Log(said[:min(len(said), 2000)])
	}
	t.Logf("measured: %d files, %d of them damaged and named, exit code %d, the rest complete", files, len(damaged), code)
}

func TestTwoOutputsGetTheSameFlows(t *testing.T) {
	dir := t.TempDir()
	code, f := weir(t, "replay", http1, "-o", dir+"/a.csv", "-o", "ndjson:"+dir+"/b,c", "-o", "table:-")
	if code != exitComplete {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	for name, n := range map[string]int{
		"csv":    len(lines(string(read(t, dir+"/a.csv")))) - 1,
		"ndjson": len(lines(string(read(t, dir+"/b,c")))),
		"table":  len(lines(f.out.String())) - 1,
	} {
		if n != 5 {
			t.Errorf("%s has %d flows, want 5", name, n)
		}
	}
}

func TestG1FullDiskIsALossOfFlowsToThatOutputOnly(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"not accepted": {nil, exitLoss},
		"accepted":     {[]string{"--max-loss", "100%"}, exitComplete},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"replay", http1, "-o", "csv:/dev/full", "-o", "ndjson:-"}, c.args...)
			code, f := weir(t, args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, f.err.String())
			}
			if n := len(lines(f.out.String())); n != 5 {
				t.Errorf("the other output has %d flows, want 5", n)
			}
			for _, want := range []string{"no space left on device", "not sent: csv:/dev/full (no space)", "66 packets were not sent (no space)"} {
				if !strings.Contains(f.err.String(), want) {
					t.Errorf("stderr lacks %q: %s", want, f.err.String())
				}
			}
		})
	}
}

func TestAReaderThatLeavesEndsTheRunInOrder(t *testing.T) {
	f := newFake()
	f.stdout = closedPipe(t)
	code := run(&f.environment, []string{"replay", http1})
	if code != exitComplete {
		t.Errorf("exit code %d, want 0: %s", code, f.err.String())
	}
	if !strings.Contains(f.err.String(), "not sent: ndjson:- (reader left)") || strings.Contains(f.err.String(), "weir:") {
		t.Errorf("want the ledger and no complaint: %s", f.err.String())
	}
	f = newFake()
	f.stdout = closedPipe(t)
	if code := run(&f.environment, []string{"schema"}); code != exitComplete {
		t.Errorf("schema: exit code %d, want 0", code)
	}
}

func TestQuietSaysNothing(t *testing.T) {
	code, f := weir(t, "replay", "-q", http1, http1)
	if code != exitComplete || f.err.Len() > 0 {
		t.Errorf("exit code %d, stderr %q; want 0 and nothing", code, f.err.String())
	}
}

func TestColumnsFollowTheFlags(t *testing.T) {
	header := func(args ...string) string {
		_, f := weir(t, append([]string{"replay", http1, "-o", "csv:-"}, args...)...)
		return lines(f.out.String())[0]
	}
	for name, c := range map[string]struct {
		args   []string
		column string
		want   bool
	}{
		"statistics":         {[]string{"--statistics"}, "bidirectional_stddev_ps", true},
		"no statistics":      {nil, "bidirectional_stddev_ps", false},
		"splt":               {[]string{"--splt", "3"}, "splt_ps", true},
		"no splt":            {nil, "splt_ps", false},
		"dissections":        {nil, "application_name", dpi.Available()},
		"no dissections":     {[]string{"--dissections", "0"}, "application_name", false},
		"tunnels":            {nil, "tunnel_id", true},
		"no tunnels decoded": {[]string{"--decode-tunnels=false"}, "tunnel_id", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Contains(header(c.args...), c.column); got != c.want {
				t.Errorf("column %s: %v, want %v", c.column, got, c.want)
			}
		})
	}
}

func TestAnOutputThatCannotBeOpenedIsAFailure(t *testing.T) {
	code, f := weir(t, "replay", http1, "-o", "csv:/nowhere/x.csv")
	if said := lines(f.err.String()); code != exitFailed || len(said) != 1 || !strings.Contains(said[0], unix.ENOENT.Error()) {
		t.Errorf("exit code %d, stderr %q; want 1 and a line that says why", code, said)
	}
}

func TestAFileThatMayNotBeReadIsOneLineAndExitCode1(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving up privileges needs some: run as root")
	}
	secret := write(t, "secret.pcap", read(t, http1))
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", os.Args[0], "replay", secret)
	cmd.Env = append(os.Environ(), asWeir+"=1")
	said, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || len(lines(string(said))) != 1 || !strings.Contains(string(said), "permission denied") {
		t.Errorf("exit code %d, said %q; want 1 and one line", code, said)
	}
}
