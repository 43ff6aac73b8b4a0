/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the TCP headers of a flow say over time. Like record.h, which it is a part
 * of: no helpers, under the record's lock. userspace/tcp.go is this file in Go. */
#ifndef WEIR_TCP_H
#define WEIR_TCP_H

#include "config.h"
#include "types.h"
#include "verifier.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Sequence numbers wrap: the sign of the difference tells (RFC 9293 3.4). */
static __always_inline int seq_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

/* Octets of the packet in the sequence space. */
static __always_inline __u32 tcp_seq_octets(const struct packet *p)
{
	return p->payload_octets + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
}

/* A hole is forgotten once the numbers have gone on so far: they come round. */
#define TCP_HOLE_AGE (1U << 30)

/* The packet starts at or behind the highest number: what lies between is the
 * new hole. */
static __always_inline void tcp_sequence_new(struct tcp_direction *d, __u32 seq, __u32 end)
{
	if (seq != d->next_seq) {
		d->hole_start = d->next_seq;
		d->hole_end = seq;
	}
	d->next_seq = end;
	if (end - d->hole_start > TCP_HOLE_AGE)
		d->hole_start = d->hole_end = end;
}

/* The packet starts below the highest number. A hole is filled from its start, as
 * a rule; what is left before a packet that is not there is given up. */
static __always_inline void tcp_sequence_old(struct tcp_direction *d, __u32 seq, __u32 end)
{
	if (d->hole_start != d->hole_end && seq_before(seq, d->hole_end) &&
	    seq_before(d->hole_start, end)) {
		d->out_of_order++;
		d->hole_start = seq_before(end, d->hole_end) ? end : d->hole_end;
	} else if (!seq_before(d->next_seq, end)) {
		d->retransmitted++;
	}
	if (seq_before(d->next_seq, end))
		d->next_seq = end;
}

/* One octet just below the highest number is a probe, no retransmission. */
static __always_inline int tcp_is_keep_alive(const struct tcp_direction *d,
					     const struct packet *p)
{
	return p->payload_octets == 1 && !(p->tcp_flags & (TCP_SYN | TCP_FIN)) &&
	       p->tcp_seq + 1 == d->next_seq;
}

static __always_inline void tcp_sequence(struct tcp_direction *d, const struct packet *p)
{
	__u32 octets = tcp_seq_octets(p), end = p->tcp_seq + octets;

	if (!octets || tcp_is_keep_alive(d, p))
		return;
	if (seq_before(p->tcp_seq, d->next_seq))
		tcp_sequence_old(d, p->tcp_seq, end);
	else
		tcp_sequence_new(d, p->tcp_seq, end);
}

/* A SYN with another number than the one before begins another connection under
 * the same key: its numbers have nothing to do with those known. */
static __always_inline int tcp_begins(struct tcp_direction *d, const struct packet *p)
{
	int begins = !(d->known & TCP_KNOWN_NEXT);

	if (p->tcp_flags & TCP_SYN) {
		begins |= !(d->known & TCP_KNOWN_SYN) || d->syn_seq != p->tcp_seq;
		d->syn_seq = p->tcp_seq;
		d->known |= TCP_KNOWN_SYN;
	}
	return begins;
}

/* RST is left out: its sequence number and window need not mean anything. */
static __always_inline void tcp_direction_update(struct tcp_direction *d, const struct packet *p)
{
	if (p->tcp_flags & TCP_RST)
		return;
	if (p->tcp_mss)
		d->mss = p->tcp_mss;
	if (!p->tcp_window && !(p->tcp_flags & (TCP_SYN | TCP_FIN)))
		d->zero_window++;
	if (!tcp_begins(d, p)) {
		tcp_sequence(d, p);
		return;
	}
	if (!(d->known & TCP_KNOWN_NEXT))
		d->initial_window = p->tcp_window;
	d->known |= TCP_KNOWN_NEXT;
	d->next_seq = p->tcp_seq + tcp_seq_octets(p);
	d->hole_start = d->hole_end = d->next_seq;
}

static __always_inline void tcp_handshake(struct flow_record *r, const struct packet *p,
					  __u32 direction)
{
	__u8 flags = p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST);

	if (r->handshake & TCP_HANDSHAKE_ACK)
		return;
	if (flags == TCP_SYN && !(r->handshake & TCP_HANDSHAKE_SYN_ACK)) {
		r->handshake |= TCP_HANDSHAKE_SYN;
		r->syn_ns = p->time_ns;
	} else if (flags == (TCP_SYN | TCP_ACK)) {
		r->handshake |= TCP_HANDSHAKE_SYN_ACK;
		r->syn_ack_ns = p->time_ns;
		r->syn_ack_direction = direction;
	} else if (flags == TCP_ACK && r->handshake & TCP_HANDSHAKE_SYN_ACK &&
		   direction != r->syn_ack_direction) {
		r->handshake |= TCP_HANDSHAKE_ACK;
		r->ack_ns = p->time_ns;
	}
}

static __always_inline void tcp_end_update(struct flow_record *r, const struct packet *p,
					   __u32 direction)
{
	const __u8 both = TCP_END_FIN_FORWARD | TCP_END_FIN_REVERSE;

	if (r->tcp_end & TCP_END_REACHED)
		return;
	if (p->tcp_flags & TCP_FIN)
		r->tcp_end |= TCP_END_FIN_FORWARD << direction;
	if (p->tcp_flags & TCP_RST || r->tcp_end == both) {
		r->tcp_end |= TCP_END_REACHED;
		r->ended_ns = p->time_ns;
	}
}

/* For a packet that has a TCP header. */
static __always_inline void tcp_update(struct flow_record *r, const struct packet *p,
				       __u32 direction)
{
	if (cfg_tcp_grace_ns)
		tcp_end_update(r, p, direction);
	if (!cfg_tcp_statistics)
		return;
	tcp_handshake(r, p, direction);
	tcp_direction_update(ONE_OF_TWO(r->tcp, direction), p);
}

/* Counters go with the part of a flow that they are of; the rest is the flow's. */
static __always_inline void tcp_clear(struct tcp_direction *d)
{
	d->retransmitted = 0;
	d->out_of_order = 0;
	d->zero_window = 0;
}

/* A SYN on a connection that has come to its end opens another, unless it is
 * older than the end. */
static __always_inline int tcp_reopens(const struct flow_record *r, const struct packet *p)
{
	return r->tcp_end & TCP_END_REACHED && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       (__s64)(p->time_ns - r->ended_ns) >= 0;
}

#endif
