/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Opens, updates and judges one flow record. Nothing here calls a helper: all
 * of it runs under the record's lock. userspace/record.go is this file in Go. */
#ifndef WEIR_RECORD_H
#define WEIR_RECORD_H

#include "config.h"
#include "entry.h"
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

#define NS_PER_MS 1000000ULL

/* The same from the start of since's millisecond, as the reference, which cuts times
 * to milliseconds, counts it. Few packets come so close to a timeout that there is
 * anything to divide. */
static __always_inline int timed_out(__u64 now, __u64 since, __u64 timeout)
{
	__s64 age = now - since;

	if (age <= (__s64)(timeout - NS_PER_MS))
		return 0;
	/* or the compiler takes the difference anew */
	asm volatile("" : "+r"(age));
	return age + (__s64)(since % NS_PER_MS) >= (__s64)timeout;
}

static __always_inline __u64 record_last_ns(const struct flow_core *r)
{
	return max_u64(r->dir[0].last_ns, r->dir[1].last_ns);
}

static __always_inline __u64 record_first_ns(const struct flow_core *r)
{
	if (!r->dir[0].packets)
		return r->dir[1].first_ns;
	if (!r->dir[1].packets || r->dir[0].first_ns < r->dir[1].first_ns)
		return r->dir[0].first_ns;
	return r->dir[1].first_ns;
}

static __always_inline __u64 record_packets(const struct flow_core *r)
{
	return r->dir[0].packets + r->dir[1].packets;
}

/* Why the record would have to be closed at now_ns even without a packet: idle, or
 * a TCP connection past its end and the grace after it. Where both are so, what
 * came first is the reason, whenever somebody looks. */
static __always_inline __u8 record_over_by(const struct flow_core *r, __u64 now_ns,
					   int (*idle)(__u64, __u64, __u64))
{
	__u64 last_ns = record_last_ns(r);

	if (tcp_ended(r) && reached(now_ns, end_of(r)->ended_ns, cfg_tcp_grace_ns) &&
	    reached(last_ns, end_of(r)->ended_ns, cfg_tcp_grace_ns - cfg_idle_ns))
		return END_OF_FLOW;
	return idle(now_ns, last_ns, cfg_idle_ns) ? END_IDLE : END_NONE;
}

static __always_inline __u8 record_over(const struct flow_core *r, __u64 now_ns)
{
	return record_over_by(r, now_ns, reached);
}

/* Why the packet may not go into this record any more; END_NONE if it may. Idle
 * is tested before active, as the reference does. A connection past its end is
 * not split. */
static __always_inline __u8 record_expired(const struct flow_core *r, const struct packet *p)
{
	__u8 reason = record_over_by(r, p->time_ns, timed_out);
	int ended = tcp_ended(r);

	if (reason != END_NONE)
		return reason;
	if (timed_out(p->time_ns, record_first_ns(r), cfg_active_ns))
		return ended ? END_OF_FLOW : END_ACTIVE;
	return ended && tcp_reopens(r, p) ? END_OF_FLOW : END_NONE;
}

/* Forgets what was counted, keeps whom it was counted for. */
static __always_inline void record_clear(struct flow_core *r)
{
	r->fragments = 0;
	__builtin_memset(r->dir, 0, sizeof(r->dir));
	if (cfg_at_statistics)
		__builtin_memset(statistics_of(r), 0, sizeof(struct flow_statistics));
	if (cfg_at_flags)
		__builtin_memset(flags_of(r), 0, sizeof(struct flow_flags));
	if (cfg_at_vectors)
		__builtin_memset(vectors_of(r), 0, sizeof(struct flow_vectors));
	if (cfg_at_tcp)
		tcp_clear(tcp_of(r));
	if (cfg_at_ip)
		__builtin_memset(ip_of(r), 0, sizeof(struct flow_ip));
}

/* A new flow, whose direction is that of its first packet. The key is there
 * already, what is counted is zero. */
static __always_inline void record_open(struct flow_core *r, const struct packet *p, __u64 flow_id)
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
	if (cfg_at_end)
		__builtin_memset(end_of(r), 0, sizeof(struct flow_end));
	if (cfg_at_tcp)
		__builtin_memset(tcp_of(r), 0, sizeof(struct flow_tcp));
}

/* first: of the direction. */
static __always_inline void sizes_update(struct direction_statistics *d, __u32 size, int first)
{
	d->size_sq += (__u64)size * size;
	if (size > d->size_max)
		d->size_max = size;
	if (first || size < d->size_min)
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

/* 0 for a packet older than its predecessor. */
static __always_inline __u64 gap_since(__u64 last_us, __u64 now_us)
{
	return now_us > last_us ? now_us - last_us : 0;
}

static __always_inline void direction_statistics_update(struct direction_statistics *d,
							const struct packet *p, __u64 now_us,
							__u64 packets)
{
	if (packets)
		gaps_update(&d->iat_us, &d->iat_sq, &d->iat_min_us, &d->iat_max_us,
			    gap_since(d->last_us, now_us), packets == 1);
	d->last_us = max_u64(d->last_us, now_us);
	sizes_update(d, p->octets, !packets);
}

static __always_inline void flags_update(__u64 *counts, __u8 flags)
{
#pragma unroll
	for (int i = 0; i < TCP_FLAG_COUNT; i++)
		counts[i] += flags >> i & 1;
}

/* Before the packet is counted: there are number packets so far. */
static __always_inline void statistics_update(struct flow_core *r, const struct packet *p,
					      __u64 now_us, __u64 number, __u32 direction,
					      int regression)
{
	struct flow_statistics *s = statistics_of(r);
	struct flow_flags *f = flags_of(r);

	if (number)
		gaps_update(&s->iat_us, &s->iat_sq, &s->iat_min_us, &s->iat_max_us,
			    gap_since(max_u64(s->dir[0].last_us, s->dir[1].last_us), now_us),
			    number == 1);
	s->regressions += regression;
	direction_statistics_update(ONE_OF_TWO(s->dir, direction), p, now_us,
				    ONE_OF_TWO(r->dir, direction)->packets);
	if (p->tcp_flags)
		flags_update(*ONE_OF_TWO(f->dir, direction), p->tcp_flags);
}

static __always_inline void vectors_update(struct flow_vectors *v, __u64 number, __u32 size,
					   __u64 now_us, __u32 direction)
{
	__u64 gap = number ? gap_since(v->last_us, now_us) : 0;
	__u32 i = number;

	v->last_us = max_u64(v->last_us, now_us);
	v->direction |= direction << number;
	/* or the compiler adds before it compares, which Linux 6.1 does not connect */
	asm volatile("" : "+r"(i));
	if (i < SPLT_MAX)
		AT_INDEX(i, SPLT_MAX, v->packets[at].size = size; v->packets[at].iat_us = gap);
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

static __always_inline void count_update(struct direction_count *d, const struct packet *p)
{
	if (!d->packets++ || p->time_ns < d->first_ns)
		d->first_ns = p->time_ns;
	d->octets += p->octets;
	d->last_ns = max_u64(d->last_ns, p->time_ns);
}

/* The packet's time in microseconds, if a group needs it: without one there is nothing
 * to divide. */
static __always_inline __u64 record_us(const struct packet *p)
{
	return cfg_at_statistics || cfg_at_vectors ? p->time_ns / 1000 : 0;
}

/* Accounts the packet. Returns 1 if it is older than the flow's latest. */
static __always_inline int record_update(struct flow_core *r, const struct packet *p, __u64 now_us)
{
	__u32 direction = (p->src_end ^ r->src_end) & 1;
	__u64 number = record_packets(r);
	int regression = p->time_ns < record_last_ns(r);
	struct flow_ip *ip = ip_of(r);

	if (cfg_at_statistics)
		statistics_update(r, p, now_us, number, direction, regression);
	if (cfg_at_vectors && number < cfg_splt)
		vectors_update(vectors_of(r), number, p->octets, now_us, direction);
	if (p->fragment)
		r->fragments++;
	count_update(ONE_OF_TWO(r->dir, direction), p);
	if (cfg_at_ip)
		ip_update(ONE_OF_TWO(ip->dir, direction), p,
			  ONE_OF_TWO(r->dir, direction)->packets == 1);
	if (p->tcp_flags)
		tcp_update(r, p, direction);
	return regression;
}

#endif
