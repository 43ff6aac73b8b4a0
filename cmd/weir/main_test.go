package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weirflow/weir/dpi/worker"
)

// asWeir makes the test binary weir itself, for tests that need a process.
const asWeir = "WEIR_TEST_IS_WEIR"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == worker.Command:
		os.Exit(worker.Main())
	case len(os.Args) > 1 && os.Args[1] == consumerCommand:
		if names := os.Getenv(asTakenOver); names != "" {
			takenOver(names)
		}
		main()
	case os.Getenv(asWeir) != "":
		os.Unsetenv(asWeir)
		main()
	}
	os.Exit(m.Run())
}

// A fake is an environment and what was written to it.
type fake struct {
	environment
	out, err bytes.Buffer
	signals  chan os.Signal
	elapsed  chan time.Time
	waited   time.Duration
}

func newFake() *fake {
	f := &fake{signals: make(chan os.Signal, 4), elapsed: make(chan time.Time, 1)}
	f.environment = environment{
		stdin:    strings.NewReader(""),
		stdout:   &f.out,
		stderr:   &f.err,
		terminal: func(any) bool { return false },
		after: func(d time.Duration) <-chan time.Time {
			f.waited = d
			return f.elapsed
		},
		signals: f.signals,
	}
	return f
}

// weir runs weir with a fake environment.
func weir(t *testing.T, args ...string) (code int, f *fake) {
	t.Helper()
	f = newFake()
	return run(&f.environment, args), f
}

func lines(text string) []string {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

const http1 = "../../testdata/http1/http1.pcap"

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, name string, content []byte) (path string) {
	t.Helper()
	path = t.TempDir() + "/" + name
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// closedPipe is a stdout whose reader has gone.
func closedPipe(t *testing.T) io.Writer {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}
