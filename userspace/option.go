package userspace

// An Option shapes a Source; what is not given is as in DefaultConfig.
type Option func(*options)

type options struct {
	config  Config
	samples SampleFunc
	filter  func(data []byte, length uint32) bool
	detach  func() error
	confirm bool
	// itself has the iteration confirm each flow once the next is asked for.
	itself bool
	nic    func() *Range
}

// newOptions applies opts to the defaults and validates what comes out.
func newOptions(opts []Option) (options, error) {
	o := options{config: DefaultConfig()}
	for _, opt := range opts {
		opt(&o)
	}
	return o, o.config.Validate()
}

// WithConfig sets what shapes flows, the same live and offline.
func WithConfig(c Config) Option {
	return func(o *options) { o.config = c }
}

// WithSamples has fn receive the samples that Config.Samples asks for. Without
// it none are taken.
func WithSamples(fn SampleFunc) Option {
	return func(o *options) { o.samples = fn }
}

// WithFilter meters only the frames that match, of which it is given what was
// captured and the original length; the rest is ignored with status "filtered". A
// frame that match panics over is metered; Ledger.Panics counts it.
// Only a Meter filters here: live, the kernel does.
func WithFilter(match func(data []byte, length uint32) bool) Option {
	return func(o *options) { o.filter = match }
}

// WithDetach has a Consumer call detach once, when its context ends and before
// it closes what is open: from then on no packet may arrive.
func WithDetach(detach func() error) Option {
	return func(o *options) { o.detach = detach }
}

// WithConfirmation has a Consumer give nothing back to the kernel before the caller
// has said that it is safe (Consumer.Confirm): whoever reads the meter next gets
// it again. It begins where the one before it was confirmed, and goes on in its
// ledger; for that it needs Handles.Progress.
func WithConfirmation() Option {
	return func(o *options) { o.confirm = true }
}

// WithNIC tells a Consumer's ledger what the interfaces themselves have counted.
func WithNIC(counted func() *Range) Option {
	return func(o *options) { o.nic = counted }
}
