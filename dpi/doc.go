// Package dpi classifies flows with nDPI, in a process of its own. A Worker
// takes samples from a meter and wraps its Source, so that the same flows come
// out in the same order, with their L7 set:
//
//	w, err := dpi.Start(ctx, dpi.Options{})
//	meter, err := userspace.NewMeter(packets, userspace.WithSamples(w.Sample), …)
//	for f, err := range w.Wrap(meter, meter).Flows(ctx) { … }
//	w.Close()
//
// A program that does so must hand over to worker.Main when it is started with
// worker.Command as its first argument, since the process is the same binary
// started again.
//
// If the process crashes or hangs, the flows that it had come out all the same,
// with "Unknown" and the reason in their L7, and another is started.
package dpi
