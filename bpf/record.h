/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Opens, updates and judges one flow record. Nothing here calls a helper: all
 * of it runs under the record's lock. userspace/record.go is this file in Go. */
#ifndef WEIR_RECORD_H
#define WEIR_RECORD_H

#include "config.h"
#include "tcp.h"
#include "types.h"
#include "verifier.h"

static __always_inline __u64 max_u64(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

/* A later time by the sign of the difference: an older packet never expires
 * anything. */
static __always_inline int reached(__u64 now, __u64 since, __u64 timeout)
{
	return (__s64)(now - since) >= (__s64)timeout;
}

static __always_inline __u64 record_last_ns(const struct flow_record *r)
{
	return max_u64(r->dir[0].last_ns, r->dir[1].last_ns);
}

static __always_inline __u64 record_first_ns(const struct flow_record *r)
{
	if (!r->dir[0].packets)
		return r->dir[1].first_ns;
	if (!r->dir[1].packets || r->dir[0].first_ns < r->dir[1].first_ns)
		return r->dir[0].first_ns;
	return r->dir[1].first_ns;
}

static __always_inline __u64 record_packets(const struct flow_record *r)
{
	return r->dir[0].packets + r->dir[1].packets;
}

/* Why the record would have to be closed at now_ns even without a packet: idle, or
 * a TCP connection past its end and the grace after it. Where both are so, what
 * came first is the reason, whenever somebody looks. */
static __always_inline __u8 record_over(const struct flow_record *r, __u64 now_ns)
{
	__u64 last_ns = record_last_ns(r);

	if (cfg_tcp_grace_ns && r->tcp_end & TCP_END_REACHED &&
	    reached(now_ns, r->ended_ns, cfg_tcp_grace_ns) &&
	    reached(last_ns, r->ended_ns, cfg_tcp_grace_ns - cfg_idle_ns))
		return END_OF_FLOW;
	return reached(now_ns, last_ns, cfg_idle_ns) ? END_IDLE : END_NONE;
}

/* Why the packet may not go into this record any more; END_NONE if it may. Idle
 * is tested before active, as the reference does. A connection past its end is
 * not split. */
static __always_inline __u8 record_expired(const struct flow_record *r, const struct packet *p)
{
	__u8 reason = record_over(r, p->time_ns);
	__u8 ended = cfg_tcp_grace_ns && r->tcp_end & TCP_END_REACHED;

	if (reason != END_NONE)
		return reason;
	if (reached(p->time_ns, record_first_ns(r), cfg_active_ns))
		return ended ? END_OF_FLOW : END_ACTIVE;
	return ended && tcp_reopens(r, p) ? END_OF_FLOW : END_NONE;
}

/* Forgets what was counted, keeps whom it was counted for. */
static __always_inline void record_clear(struct flow_record *r)
{
	r->end_reason = END_NONE;
	r->fragments = 0;
	r->regressions = 0;
	r->iat_us = 0;
	r->iat_sq = 0;
	r->iat_min_us = 0;
	r->iat_max_us = 0;
	__builtin_memset(r->dir, 0, sizeof(r->dir));
	r->splt_direction = 0;
	__builtin_memset(r->splt_size, 0, sizeof(r->splt_size));
	__builtin_memset(r->splt_iat_us, 0, sizeof(r->splt_iat_us));
	tcp_clear(&r->tcp[0]);
	tcp_clear(&r->tcp[1]);
	__builtin_memset(r->ip, 0, sizeof(r->ip));
}

/* A new flow, whose direction is that of its first packet. The key is there
 * already, what is counted is zero. */
static __always_inline void record_open(struct flow_record *r, const struct packet *p,
					__u64 flow_id)
{
	r->flow_id = flow_id;
	r->part = 0;
	r->src_end = p->src_end;
	r->icmp_type = p->icmp_type;
	r->icmp_code = p->icmp_code;
	__builtin_memcpy(r->mac, p->mac, sizeof(r->mac));
	__builtin_memcpy(r->outer_addr, p->outer_addr, sizeof(r->outer_addr));
	r->outer_ip_version = p->outer_ip_version;
	r->tunnel_key = p->tunnel_key;
	r->tcp_end = 0;
	r->handshake = 0;
	r->syn_ack_direction = 0;
	r->ended_ns = 0;
	r->syn_ns = 0;
	r->syn_ack_ns = 0;
	r->ack_ns = 0;
	__builtin_memset(r->tcp, 0, sizeof(r->tcp));
}

static __always_inline void sizes_update(struct flow_direction *d, __u32 size)
{
	d->size_sq += (__u64)size * size;
	if (size > d->size_max)
		d->size_max = size;
	if (d->packets == 1 || size < d->size_min)
		d->size_min = size;
}

static __always_inline void gaps_update(__u64 *sum, __u64 *sq, __u32 *min, __u32 *max,
					__u64 gap, int first)
{
	*sum += gap;
	*sq += gap * gap;
	if (gap > *max)
		*max = gap;
	if (first || gap < *min)
		*min = gap;
}

static __always_inline void flags_update(struct flow_direction *d, __u8 flags)
{
#pragma unroll
	for (int i = 0; i < TCP_FLAG_COUNT; i++)
		d->flags[i] += flags >> i & 1;
}

static __always_inline void splt_update(struct flow_record *r, __u64 number, __u32 size,
					__u64 gap, __u32 direction)
{
	if (number >= SPLT_MAX)
		return;
	AT_INDEX(number, SPLT_MAX, r->splt_size[at] = size; r->splt_iat_us[at] = gap);
	r->splt_direction |= direction << number;
}

/* first: of the direction. */
static __always_inline void ip_update(struct ip_direction *d, const struct packet *p, int first)
{
	if (first || p->ttl < d->ttl_min)
		d->ttl_min = p->ttl;
	if (p->ttl > d->ttl_max)
		d->ttl_max = p->ttl;
	if (first || p->tos < d->tos_min)
		d->tos_min = p->tos;
	if (p->tos > d->tos_max)
		d->tos_max = p->tos;
}

static __always_inline void direction_update(struct flow_direction *d, const struct packet *p,
					     __u64 now_us)
{
	__u64 gap = now_us > d->last_us ? now_us - d->last_us : 0;

	if (d->packets++) {
		if (cfg_statistics)
			gaps_update(&d->iat_us, &d->iat_sq, &d->iat_min_us, &d->iat_max_us, gap,
				    d->packets == 2);
		if (p->time_ns < d->first_ns)
			d->first_ns = p->time_ns;
	} else {
		d->first_ns = p->time_ns;
	}
	d->octets += p->octets;
	d->last_ns = max_u64(d->last_ns, p->time_ns);
	d->last_us = max_u64(d->last_us, now_us);
	if (cfg_statistics) {
		sizes_update(d, p->octets);
		if (p->tcp_flags)
			flags_update(d, p->tcp_flags);
	}
}

/* Accounts the packet. Returns 1 if it is older than the flow's latest. */
static __always_inline int record_update(struct flow_record *r, const struct packet *p,
					 __u64 now_us)
{
	__u32 direction = (p->src_end ^ r->src_end) & 1;
	__u64 number = record_packets(r);
	__u64 last_us = max_u64(r->dir[0].last_us, r->dir[1].last_us);
	__u64 gap = number && now_us > last_us ? now_us - last_us : 0;
	int regression = p->time_ns < record_last_ns(r);

	if (cfg_statistics && number)
		gaps_update(&r->iat_us, &r->iat_sq, &r->iat_min_us, &r->iat_max_us, gap,
			    number == 1);
	if (number < cfg_splt)
		splt_update(r, number, p->octets, gap, direction);
	r->fragments += p->fragment;
	r->regressions += regression;
	direction_update(ONE_OF_TWO(r->dir, direction), p, now_us);
	if (cfg_ip_statistics)
		ip_update(ONE_OF_TWO(r->ip, direction), p,
			  ONE_OF_TWO(r->dir, direction)->packets == 1);
	if ((cfg_tcp_statistics || cfg_tcp_grace_ns) && p->tcp_flags)
		tcp_update(r, p, direction);
	return regression;
}

#endif
