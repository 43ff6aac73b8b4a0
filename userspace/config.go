package userspace

import (
	"fmt"
	"time"

	"github.com/weirflow/weir/bpf"
)

// Config is what shapes flows, the same live and offline.
type Config struct {
	// IdleTimeout and ActiveTimeout are flowIdleTimeout and flowActiveTimeout
	// (IPFIX 37 and 36). A record's gaps are shorter than its active timeout: with
	// Statistics or SPLT that must be below 2^32 µs (71m34s), so that each gap and
	// every sum of squared gaps is exact.
	IdleTimeout   time.Duration
	ActiveTimeout time.Duration
	// Accounting is the size of a packet that feeds octets and statistics.
	Accounting bpf.Accounting
	// Statistics turns on size, inter-arrival and flag statistics.
	Statistics bool
	// TCPStatistics turns on what the TCP headers say: round-trip times of the
	// handshake, retransmitted, late and zero-window packets, initial window, MSS.
	TCPStatistics bool
	// IPStatistics turns on the range of TTL and type of service.
	IPStatistics bool
	// TCPEnd closes the flow of a TCP connection bpf.TCPGrace after it has ended: FIN
	// both ways, or RST. A SYN opens another at once.
	TCPEnd bool
	// SPLT is the number of packets in the first-N vectors, at most bpf.SPLTMax.
	SPLT int
	// Samples is how many packets of a flow are sampled for classification,
	// 0 to 255, SampleOctets the length at which each is cut.
	Samples      int
	SampleOctets int
	// DecodeTunnels looks into GRE, VXLAN, GTP-U and the like. IP in IP is
	// always looked into.
	DecodeTunnels bool
	// MaxFlows bounds the flows open at a time.
	MaxFlows int
}

// DefaultConfig is nfstream's defaults: 120 s, 1800 s, link-layer octets.
func DefaultConfig() Config {
	return Config{
		IdleTimeout:   120 * time.Second,
		ActiveTimeout: 1800 * time.Second,
		SampleOctets:  SampleOctetsRing,
		DecodeTunnels: true,
		MaxFlows:      262144,
	}
}

// Validate says what is wrong with the configuration, and what is accepted.
func (c *Config) Validate() error {
	switch {
	case c.IdleTimeout < 0:
		return fmt.Errorf("idle timeout %v: want 0 or more", c.IdleTimeout)
	case c.ActiveTimeout < 0:
		return fmt.Errorf("active timeout %v: want 0 or more", c.ActiveTimeout)
	case (c.Statistics || c.SPLT > 0) && c.ActiveTimeout.Microseconds() >= 1<<32:
		return fmt.Errorf("active timeout %v: with statistics or first-N vectors want less than 71m34s, so that sums of squared gaps stay exact", c.ActiveTimeout)
	case c.Accounting > bpf.WeirAccountingACCOUNTING_PAYLOAD:
		return fmt.Errorf("accounting mode %d: want 0 (link) to 3 (payload)", c.Accounting)
	case c.SPLT < 0 || c.SPLT > bpf.SPLTMax:
		return fmt.Errorf("splt %d: want 0 to %d packets", c.SPLT, bpf.SPLTMax)
	case c.Samples < 0 || c.Samples > 255:
		return fmt.Errorf("dissections %d: want 0 to 255 packets", c.Samples)
	case c.Samples > 0 && (c.SampleOctets < 1 || c.SampleOctets > SampleOctetsMax):
		return fmt.Errorf("sample octets %d: want 1 to %d", c.SampleOctets, SampleOctetsMax)
	case c.MaxFlows < 1 || c.MaxFlows > maxFlowsMax:
		return fmt.Errorf("max flows %d: want 1 to %d", c.MaxFlows, maxFlowsMax)
	}
	return nil
}

func (c *Config) groups() bpf.Groups {
	return bpf.Groups{TCPEnd: c.TCPEnd, IPStatistics: c.IPStatistics, TCPStatistics: c.TCPStatistics, Statistics: c.Statistics, SPLT: c.SPLT}
}

// maxFlowsMax is 5 GB of flow table, and three times that with every group.
const maxFlowsMax = 1 << 24

const (
	// SampleOctetsMax is the longest sample: a whole packet, as a host hands it
	// over before segmentation.
	SampleOctetsMax = 65535
	// SampleOctetsRing is the longest that the kernel's ring buffer carries.
	SampleOctetsRing = 16384
)
