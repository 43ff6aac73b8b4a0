package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weirflow/weir/dpi"
	"github.com/weirflow/weir/userspace"
	"github.com/weirflow/weir/userspace/summary"
)

// flushEvery is how long a flow waits in a buffer for others at most.
const flushEvery = 200 * time.Millisecond

// A meter is what the live one and the one for files have in common.
type meter interface {
	userspace.Source
	userspace.DPIStopper
}

// A meterRun is one run of a meter, from its source to the summary.
type meterRun struct {
	env      *environment
	settings *settings
	say      speaker
	outputs  *outputs
	worker   *dpi.Worker // nil without DPI
	labels   *labels     // nil where none are wanted
	source   userspace.Source
	duration time.Duration // 0: until the input ends
	// finish, where there is one, says what became of the input and completes
	// the ledger.
	finish func(*userspace.Ledger) error
	// pinned is the meter, where it outlives the run: what it gives is confirmed
	// when it is written.
	pinned *pinnedRun
	ending bool            // at once: what is open is all there is
	before userspace.Count // delivered when the run began
	// nicIsExact: what the interfaces counted beyond what was observed is lost.
	nicIsExact bool
	// What a run of attach has besides; nil in others.
	watch   *watch
	control *control
	service *service

	summary summary.Summary
	errs    []error // of the source
}

// newMeterRun opens what flows need once they have left the meter.
func newMeterRun(env *environment, s *settings) (*meterRun, error) {
	r := &meterRun{env: env, settings: s, say: speaker{env.stderr, s.level}}
	var err error
	r.outputs, err = openOutputs(env, s, r.say)
	return r, err
}

// options are the options of the meter. Those of live metering may lose samples
// rather than time.
func (r *meterRun) options(ctx context.Context, live bool) ([]userspace.Option, error) {
	options := []userspace.Option{userspace.WithConfig(r.settings.config())}
	if r.settings.dissections.n == 0 {
		return options, nil
	}
	o := dpi.Options{
		Dissections: r.settings.dissections.n, Details: r.settings.full(), Files: r.settings.files,
		MaxFlows: r.settings.l7Flows.n, Workers: r.settings.dpiWorkers.n, Lossy: live, Unconfined: r.settings.noSandbox,
	}
	if r.labels = newLabels(r.outputs, live); r.labels != nil {
		o.Classified = r.labels.take
	}
	var err error
	r.worker, err = dpi.Start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("%w; --dissections 0 does without nDPI", err)
	}
	return append(options, userspace.WithSamples(r.worker.Sample)), nil
}

// meter is the source of the run's flows.
func (r *meterRun) meter(m meter) {
	r.source = m
	if r.worker != nil {
		r.source = r.worker.Wrap(m, m)
	}
	l := r.source.Ledger()
	r.before = l.Delivered
	r.outputs.report(r.source.Ledger)
}

// close gives up what was opened, for a run that does not come to its end.
func (r *meterRun) close() {
	if r.worker != nil {
		r.worker.Close()
	}
	r.labels.close()
	r.outputs.close()
}

// run meters until the input ends or something ends it, and tells how it went.
func (r *meterRun) run(ctx context.Context) error {
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	if r.ending {
		r.outputs.patient()
		drain()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.empty(ctx)
	}()
	if err := r.attend(done, drain); err != nil {
		return err
	}
	return r.conclude()
}

// empty delivers all flows, and closes what they went through. An output may hold up
// any of it, and must not hold up whoever waits for signals.
func (r *meterRun) empty(ctx context.Context) {
	stop := r.tend()
	r.deliver(ctx)
	stop()
	if r.worker != nil {
		r.worker.Close()
	}
	r.labels.close()
	if written := r.outputs.close(); r.pinned != nil && written {
		r.pinned.confirmAll(r.outputs)
	}
}

// tend flushes outputs on a clock, and has them reopened when that is asked for, until
// stop is called.
func (r *meterRun) tend() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(flushEvery)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				r.flush()
				r.service.alive(now)
			case <-r.env.hangups:
				r.outputs.reopen()
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended); <-done }
}

// deliver hands flows to the outputs.
func (r *meterRun) deliver(ctx context.Context) {
	for f, err := range r.source.Flows(ctx) {
		if err != nil {
			r.errs = append(r.errs, err)
			continue
		}
		r.summary.Add(f)
		r.outputs.write(f)
		if r.pinned != nil {
			r.pinned.written(r.outputs)
		}
	}
}

// attend waits until all is done, and passes on what asks the run to come to an
// end: once to end in order, a second signal to leave at once.
func (r *meterRun) attend(done <-chan struct{}, drain func()) error {
	var elapsed <-chan time.Time
	if r.duration > 0 {
		elapsed = r.env.after(r.duration)
	}
	gone := r.outputs.gone
	interfacesGone := r.watch.ended()
	signals := 0
	for {
		select {
		case <-done:
			return nil
		case <-elapsed:
		case <-gone:
			gone = nil
		case <-interfacesGone:
			interfacesGone = nil
		case <-r.env.signals:
			if signals++; signals > 1 {
				return r.abandon()
			}
			r.say.note("ending in order; once more to leave at once")
		}
		r.service.stopping()
		r.outputs.patient()
		r.outputs.hurry()
		drain()
	}
}

// flush writes what is buffered, and confirms it where somebody waits for that.
func (r *meterRun) flush() {
	if r.pinned != nil {
		r.pinned.confirm(r.outputs)
	} else {
		r.outputs.flush()
	}
}

// abandon says what is lost by leaving now.
func (r *meterRun) abandon() error {
	l := r.source.Ledger()
	if r.pinned != nil {
		return &codedError{exitFailed, errors.New("interrupted twice: left at once; what was not confirmed comes again to whoever reads the pinned meter next")}
	}
	open := l.Open.Plus(l.Lost)
	return &codedError{exitFailed, fmt.Errorf("interrupted twice: left at once; abandoned flows with some %d packets, %d octets, and what the outputs had not written",
		open.Packets, open.Octets)}
}

// conclude prints the summary and finds what the run comes to.
func (r *meterRun) conclude() error {
	l := r.source.Ledger()
	r.outputs.settle(&l, r.before)
	var verdict error
	if r.finish != nil {
		verdict = r.finish(&l)
	}
	// Where nothing could be read there was no run.
	if r.settings.level > quiet && (verdict == nil || l.Observed.Packets > 0) {
		if err := ignoreGone(r.summary.Print(r.env.stderr, &l)); err != nil {
			return err
		}
	}
	r.tellDPI()
	return worst(r.checkSource(), r.checkLedger(&l), verdict, r.checkLoss(&l))
}

// checkSource tells of the errors that came in place of flows.
func (r *meterRun) checkSource() error {
	for _, err := range r.errs {
		r.say.always("%s", oneLine(err))
	}
	if r.pinned != nil && r.pinned.err != nil {
		r.say.always("%s", oneLine(r.pinned.err))
		return &codedError{code: exitFailed}
	}
	if len(r.errs) > 0 || r.outputs.broke() && r.outputs.lost() == 0 {
		return &codedError{code: exitFailed}
	}
	return nil
}

// checkLedger tells of the lines that do not close. An interface that counted
// more than was observed is a matter of loss.
func (r *meterRun) checkLedger(l *userspace.Ledger) error {
	inner := *l
	inner.NIC = nil
	if r.pinned != nil && !r.ending {
		// Packets arrive while the counters are read: L2 holds but for those under way.
		inner.Observed = inner.Metered.Plus(inner.IgnoredTotal())
	}
	if err := inner.Check(); err != nil {
		r.say.always("%s; this is a fault of weir, please report it", oneLine(err))
		return &codedError{code: exitFailed}
	}
	return nil
}

// checkLoss tells of packets that are in no flow that was written.
func (r *meterRun) checkLoss(l *userspace.Ledger) error {
	lost := l.Lost.Packets + l.LostWithConsumer.Packets + r.outputs.lost()
	total := l.Metered.Packets
	if r.nicIsExact && l.NIC.Low.Packets > l.Observed.Packets {
		lost += l.NIC.Low.Packets - l.Observed.Packets
		total += l.NIC.Low.Packets - l.Observed.Packets
	}
	if lost == 0 || total == 0 {
		return nil
	}
	percent := 100 * float64(lost) / float64(total)
	if percent <= r.settings.maxLoss.p {
		r.say.note("%d packets, %.4g %%, were lost or not sent", lost, percent)
		return nil
	}
	return &codedError{exitLoss, fmt.Errorf("%d packets, %.4g %%, were lost or not sent; --max-loss accepts %g %%", lost, percent, r.settings.maxLoss.p)}
}

// tellDPI tells how classification went, if it did not go well.
func (r *meterRun) tellDPI() {
	if r.worker == nil {
		return
	}
	s := r.worker.Stats()
	if s.Crashes+s.Hangs > 0 {
		r.say.note("nDPI crashed %d times and hung %d times; %d flows are without a label (%s)", s.Crashes, s.Hangs, s.FlowsCrashed, s.LastCrash)
	}
	if s.FlowsQuarantined > 0 {
		r.say.note("%d flows are without a label: they have a packet of which nDPI died twice", s.FlowsQuarantined)
	}
	if s.FlowsEvicted > 0 {
		r.say.note("%d flows are without a label: nDPI did not answer in time", s.FlowsEvicted)
	}
	if s.SamplesDropped > 0 {
		r.say.note("%d packets were not shown to nDPI, which could not keep up", s.SamplesDropped)
	}
	if s.Panics > 0 {
		r.say.note("%d labels were not told as they were found, or samples not stopped; this is a fault of weir, please report it", s.Panics)
	}
	r.say.detail("nDPI %s was shown %d packets, kept from %d, gave %d labels; early for want of room: %d; hellos given up: %d; confined: %v",
		s.Release, s.Shown, s.Rejected, s.Flows, s.Evicted, s.Unread, s.Confined)
}

// worst is the error that the exit code is taken from. The others have been
// told, or are told with it.
func worst(errs ...error) error {
	var found error
	for _, code := range []int{exitUsage, exitFailed, exitDamaged, exitLoss} {
		for _, err := range errs {
			if err == nil || exitCode(err) != code {
				continue
			}
			switch {
			case found == nil:
				found = err
			case !told(err):
				found = &codedError{exitCode(found), joinTold(found, err)}
			}
		}
	}
	return found
}

// joinTold joins what has still to be told.
func joinTold(a, b error) error {
	if told(a) {
		return b
	}
	return errors.Join(a, b)
}
