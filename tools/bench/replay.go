package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// replayBench holds what the measurements over files share.
type replayBench struct {
	out     io.Writer
	dir     string // for the capture and the binary
	weir    string
	cpu     int
	rounds  int
	packets int
	library library
}

// prepare reads the conversations and builds weir where no binary was given.
func (b *replayBench) prepare(ctx context.Context, testdata string) (err error) {
	for _, tool := range []struct{ name, from string }{
		{"tcpdump", "tcpdump"}, {"ndpiReader", "libndpi-bin"}, {"taskset", "util-linux"},
	} {
		if _, err := exec.LookPath(tool.name); err != nil {
			return fmt.Errorf("look for %s: %w; apt-get install %s", tool.name, err, tool.from)
		}
	}
	if b.library, err = readLibrary(testdata); err != nil || b.weir != "" {
		return err
	}
	b.weir = filepath.Join(b.dir, "weir")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.weir, "./cmd/weir")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build weir: %w: %s", err, out)
	}
	return nil
}

// A rival is a command over the capture, and what its turns took.
type rival struct {
	name string
	args []string
	wall []float64 // seconds
	cpu  []float64 // seconds, its children's included
}

func (b *replayBench) rivals(capture string) []rival {
	weir := func(name string, flags ...string) rival {
		args := append([]string{b.weir, "replay", "-q", "-o", "csv:/dev/null"}, flags...)
		return rival{name: name, args: append(args, capture)}
	}
	return []rival{
		{name: "tcpdump --count", args: []string{"tcpdump", "--count", "-r", capture}},
		weir("weir", "--dissections", "0"),
		weir("weir --statistics", "--dissections", "0", "--statistics"),
		weir("weir --statistics --splt 20", "--dissections", "0", "--statistics", "--splt", "20"),
		weir("weir with DPI"),
		weir("weir --statistics with DPI", "--statistics"),
		{name: "ndpiReader", args: []string{"ndpiReader", "-q", "-i", capture}},
	}
}

// speed measures all commands over one capture, in turn.
func (b *replayBench) speed(ctx context.Context) error {
	capture := filepath.Join(b.dir, "bench.pcap")
	if err := b.write(capture); err != nil {
		return err
	}
	defer os.Remove(capture)
	if err := b.check(ctx, capture); err != nil {
		return err
	}
	rivals := b.rivals(capture)
	for range b.rounds {
		for i := range rivals {
			if err := b.turn(ctx, &rivals[i]); err != nil {
				return err
			}
		}
	}
	b.print(rivals)
	return nil
}

// check refuses to measure a replay that does not do its work: every packet is
// in a flow, and flows have labels.
func (b *replayBench) check(ctx context.Context, capture string) error {
	path := filepath.Join(b.dir, "check.csv")
	out, err := exec.CommandContext(ctx, b.weir, "replay", "-q", "-o", "csv:"+path, capture).CombinedOutput()
	if err != nil {
		return fmt.Errorf("check replay: %w: %s", err, out)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check replay: %w", err)
	}
	defer f.Close()
	t, err := tallyOf(f)
	if err != nil {
		return fmt.Errorf("check replay: %s: %w", path, err)
	}
	if t.packets != b.packets {
		return fmt.Errorf("check replay: %d of %d packets are in flows", t.packets, b.packets)
	}
	fmt.Fprintf(b.out, "weir: %d flows, %d with an application\n\n", t.flows, t.labelled)
	return nil
}

// A tally is what a file of flows adds up to.
type tally struct{ flows, packets, labelled int }

func tallyOf(r io.Reader) (t tally, err error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return t, err
	}
	packets := slices.Index(header, "bidirectional_packets")
	application := slices.Index(header, "application_name")
	if packets < 0 {
		return t, errors.New("no column bidirectional_packets")
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, err
		}
		n, err := strconv.Atoi(row[packets])
		if err != nil {
			return t, err
		}
		t.flows++
		t.packets += n
		if application >= 0 && row[application] != "Unknown" {
			t.labelled++
		}
	}
}

func (b *replayBench) write(capture string) error {
	f, err := os.Create(capture)
	if err != nil {
		return fmt.Errorf("make capture: %w", err)
	}
	defer f.Close()
	flows, octets, err := writeCapture(f, b.library, b.packets)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "Replay: %d packets, %d flows, %d octets a packet on average; least of %d interleaved rounds, all on CPU %d\n\n",
		b.packets, flows, octets/uint64(b.packets), b.rounds, b.cpu)
	return f.Close()
}

// turn runs the command once, on the one CPU.
func (b *replayBench) turn(ctx context.Context, r *rival) error {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(b.cpu)}, r.args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w: %s", strings.Join(r.args, " "), err, out.Bytes())
	}
	r.wall = append(r.wall, time.Since(begin).Seconds())
	r.cpu = append(r.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	if r.name == "tcpdump --count" && !strings.Contains(out.String(), strconv.Itoa(b.packets)+" packets") {
		return fmt.Errorf("tcpdump does not find %d packets: %s", b.packets, out.Bytes())
	}
	return nil
}

func (b *replayBench) print(rivals []rival) {
	tcpdump, ndpi := slices.Min(rivals[0].cpu), slices.Min(rivals[len(rivals)-1].cpu)
	fmt.Fprintf(b.out, "%-30s %8s %8s %14s %14s %16s\n", "", "wall s", "CPU s", "M packets/s", "CPU, tcpdump's", "CPU, ndpiReader's")
	for _, r := range rivals {
		wall, cpu := slices.Min(r.wall), slices.Min(r.cpu)
		fmt.Fprintf(b.out, "%-30s %8.3f %8.3f %14.2f %14.2f %16.2f\n", r.name, wall, cpu,
			float64(b.packets)/wall/1e6, cpu/tcpdump, cpu/ndpi)
	}
	fmt.Fprintln(b.out)
}
