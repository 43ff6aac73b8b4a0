package userspace_test

import (
	"testing"

	"github.com/weirflow/weir/bpf"
	"github.com/weirflow/weir/bpf/bpftest"
	"github.com/weirflow/weir/bpf/differential"
	"github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
)

// That the two homes agree on captures, and on what a fuzzer makes, is held in
// bpf/differential; here they are held to each other on packets of a test's own.

// packets is a capture in memory.
type packets = captures.Packets

// decodersAgree gives each frame to the kernel's decoder and to Go's, and compares
// all that they make of it.
func decodersAgree(t *testing.T, link uint32, mode bpf.Accounting, p *packets) {
	t.Helper()
	d, err := differential.NewDecoders(differential.DecoderOptions(link, mode, false))
	if err != nil {
		t.Fatalf("%v (this test needs CAP_BPF and CAP_NET_ADMIN: run as root)", err)
	}
	defer d.Close()
	if err := d.Agree(differential.StepsOf(p.List)); err != nil {
		t.Error(err)
	}
	if err := d.StatusesAgree(differential.StepsOf(p.List)); err != nil {
		t.Error(err)
	}
}

// everything is a configuration with all that a record can hold.
func everything(tcpEnd bool) userspace.Config {
	cfg := userspace.DefaultConfig()
	cfg.Statistics, cfg.SPLT, cfg.Samples, cfg.MaxFlows = true, bpf.SPLTMax, 20, 16384
	cfg.TCPStatistics, cfg.IPStatistics, cfg.TCPEnd = true, true, tcpEnd
	return cfg
}

// kernelMeter is the kernel's meter of a configuration.
func kernelMeter(t *testing.T, link uint32, cfg *userspace.Config) *bpftest.Meter {
	t.Helper()
	return bpftest.New(t, bpftest.Options{
		LinkType: link, Accounting: cfg.Accounting, Statistics: cfg.Statistics, TCPStatistics: cfg.TCPStatistics,
		IPStatistics: cfg.IPStatistics, TCPEnd: cfg.TCPEnd, SPLT: uint8(cfg.SPLT), Samples: uint8(cfg.Samples),
		SampleOctets: uint32(cfg.SampleOctets), NoTunnels: !cfg.DecodeTunnels, MaxFlows: uint32(cfg.MaxFlows),
		Set: map[string]any{bpf.WeirVarCfgIdleNs: uint64(cfg.IdleTimeout), bpf.WeirVarCfgActiveNs: uint64(cfg.ActiveTimeout)},
	})
}

// metersAgree returns the records that both meters made of the packets, in the
// order of their start.
func metersAgree(t *testing.T, name string, link uint32, cfg userspace.Config, p *packets) []bpf.Record {
	t.Helper()
	k := differential.Kernel{Meter: kernelMeter(t, link, &cfg)}
	defer k.Close()
	return agreesWith(t, &k, name, link, cfg, p)
}

// agreesWith is metersAgree with a kernel's meter that has been loaded before.
func agreesWith(t *testing.T, k *differential.Kernel, name string, link uint32, cfg userspace.Config, p *packets) []bpf.Record {
	t.Helper()
	kernel, err := k.Run(differential.StepsOf(p.List), 0)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	golang, err := differential.Go(cfg, link, differential.StepsOf(p.List), 0)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := differential.Differ(&kernel, &golang); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return golang.Records
}
