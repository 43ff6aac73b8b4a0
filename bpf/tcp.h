/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the TCP headers of a flow say over time. Like record.h, which it is a part
 * of: no helpers, under the record's lock. userspace/tcp.go is this file in Go. */
#ifndef WEIR_TCP_H
#define WEIR_TCP_H

#include "config.h"
#include "entry.h"
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

static __always_inline void tcp_handshake(struct flow_tcp *t, const struct packet *p,
					  __u32 direction)
{
	__u8 flags = p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST);

	if (t->handshake & TCP_HANDSHAKE_ACK)
		return;
	if (flags == TCP_SYN && !(t->handshake & TCP_HANDSHAKE_SYN_ACK)) {
		t->handshake |= TCP_HANDSHAKE_SYN;
		t->syn_ns = p->time_ns;
	} else if (flags == (TCP_SYN | TCP_ACK)) {
		t->handshake |= TCP_HANDSHAKE_SYN_ACK;
		t->syn_ack_ns = p->time_ns;
		t->syn_ack_direction = direction;
	} else if (flags == TCP_ACK && t->handshake & TCP_HANDSHAKE_SYN_ACK &&
		   direction != t->syn_ack_direction) {
		t->handshake |= TCP_HANDSHAKE_ACK;
		t->ack_ns = p->time_ns;
	}
}

static __always_inline void tcp_end_update(struct flow_end *e, const struct packet *p,
					   __u32 direction)
{
	const __u8 both = TCP_END_FIN_FORWARD | TCP_END_FIN_REVERSE;

	if (e->tcp_end & TCP_END_REACHED)
		return;
	if (p->tcp_flags & TCP_FIN)
		e->tcp_end |= TCP_END_FIN_FORWARD << direction;
	if (p->tcp_flags & TCP_RST || e->tcp_end == both) {
		e->tcp_end |= TCP_END_REACHED;
		e->ended_ns = p->time_ns;
	}
}

/* For a packet that has a TCP header. */
static __always_inline void tcp_update(struct flow_core *r, const struct packet *p,
				       __u32 direction)
{
	struct flow_tcp *t = tcp_of(r);

	if (cfg_at_end)
		tcp_end_update(end_of(r), p, direction);
	if (!cfg_at_tcp)
		return;
	tcp_handshake(t, p, direction);
	tcp_direction_update(ONE_OF_TWO(t->dir, direction), p);
}

/* Counters go with the part of a flow that they are of; the rest is the flow's. */
static __always_inline void tcp_clear(struct flow_tcp *t)
{
#pragma unroll
	for (int i = 0; i < 2; i++) {
		t->dir[i].retransmitted = 0;
		t->dir[i].out_of_order = 0;
		t->dir[i].zero_window = 0;
	}
}

/* Whether the connection is known to have come to its end. */
static __always_inline int tcp_ended(const struct flow_core *r)
{
	return cfg_at_end && end_of(r)->tcp_end & TCP_END_REACHED;
}

/* A SYN on a connection that has come to its end opens another, unless it is
 * older than the end. */
static __always_inline int tcp_reopens(const struct flow_core *r, const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       (__s64)(p->time_ns - end_of(r)->ended_ns) >= 0;
}

#endif
