package ipfix

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Options are how flows are sent.
type Options struct {
	// OneWay makes a record of each direction, for collectors that know nothing of
	// reverse elements.
	OneWay bool
	// Domain is the observation domain's id.
	Domain uint32
	// Message is how many octets a message has at most; 0 leaves it to the transport.
	Message int
	// Resend is how often templates are sent again over UDP.
	Resend time.Duration
	// Rate is how many octets of messages go out over UDP in a second at most; 0 is as
	// fast as the kernel takes them.
	Rate int
	// Idle and Active are the timeouts of the flows; 0 where they are not known.
	Idle, Active time.Duration
}

// The octets of a message unless the options say: what an Ethernet frame holds beside
// headers and some tunnel's, and what makes few writes. The least is what fits IPv6's
// smallest path, the most what a datagram can hold.
const (
	DatagramOctets = 1400
	StreamOctets   = 16384
	leastOctets    = 1200
	mostOctets     = 65000
)

// DefaultResend is how often templates are sent again unless the options say.
const DefaultResend = 30 * time.Second

// DefaultRate is 100 Mbit/s: what collectors keep up with, and no probe of a 10 Gbit/s
// link usually needs. It is of UDP alone; TCP slows down by itself.
const DefaultRate = 12_500_000

// leastRate is some 70 messages of the usual length a second: less would look stuck.
const leastRate = 100_000

// Octets is how many a message has at most, of a transport that usually has so many.
func (o *Options) Octets(usual int) int {
	if o.Message > 0 {
		return o.Message
	}
	return usual
}

// ParseOptions reads what stands behind the question mark of an output:
// NAME=VALUE, separated by &.
func ParseOptions(s string) (*Options, error) {
	o := &Options{Resend: DefaultResend, Rate: DefaultRate}
	if s == "" {
		return o, nil
	}
	for option := range strings.SplitSeq(s, "&") {
		name, value, _ := strings.Cut(option, "=")
		if err := o.set(name, value); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *Options) set(name, value string) error {
	switch name {
	case "biflow":
		if value != "off" {
			return fmt.Errorf("?biflow= has no value %q but off", value)
		}
		o.OneWay = true
	case "domain":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return fmt.Errorf("?domain=%s: want a number of 32 bits", value)
		}
		o.Domain = uint32(n)
	case "message":
		n, err := strconv.Atoi(value)
		if err != nil || n < leastOctets || n > mostOctets {
			return fmt.Errorf("?message=%s: want %d to %d octets", value, leastOctets, mostOctets)
		}
		o.Message = n
	case "templates":
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Second {
			return fmt.Errorf("?templates=%s: want a duration of at least a second, as in 30s", value)
		}
		o.Resend = d
	case "rate":
		n, err := strconv.Atoi(value)
		if err != nil || n != 0 && n < leastRate || n > math.MaxInt32 {
			return fmt.Errorf("?rate=%s: want %d to %d octets a second, or 0 for no bound", value, leastRate, math.MaxInt32)
		}
		o.Rate = n
	default:
		return fmt.Errorf("no option is called %q; ipfix has biflow, domain, message, rate and templates", name)
	}
	return nil
}
