package dpi_test

import (
	"context"
	"testing"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/dpi/worker"
)

func needNDPI(t testing.TB) {
	t.Helper()
	if !dpi.Available() {
		t.Skip("this build holds no nDPI (no cgo, or -tags nodpi)")
	}
}

func start(t testing.TB, o dpi.Options) *dpi.Worker {
	t.Helper()
	w, err := dpi.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// engines are the commands that make the test binary a DPI process.
func engines() map[string]func() int {
	return map[string]func() int{worker.Command: worker.Main}
}
