/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The only file that touches the ring buffer. Nothing wakes user space: it
 * looks in on a timer, and a packet never pays for it. */
#ifndef WEIR_EMIT_H
#define WEIR_EMIT_H

#include "config.h"
#include "entry.h"
#include "maps.h"
#include "verifier.h"

/* Longest sample that is carried; user space refuses to configure more. It holds
 * jumbo frames, and of what a host hands over before segmentation a whole hello with
 * its certificates: a stream with holes leads nDPI astray. */
#define SAMPLE_OCTETS_MAX 16384

/* A sample event is reserved in one of these sizes, powers of two: reserving takes
 * a constant. */
#define SAMPLE_CLASS_SMALL 256
#define SAMPLE_CLASS_MEDIUM 2048 /* whole frames of ordinary networks */

#ifdef FRAME_COPIED

/* Without CAP_PERFMON what is added to a pointer into the ring must be a constant when
 * the program is compiled. */
#define RECORD_OCTETS sizeof(struct flow_whole)

static __always_inline void record_copy(struct flow_core *to, const struct flow_core *from)
{
	struct flow_whole *whole = (struct flow_whole *)to;

	whole->core = *from;
	if (cfg_at_end)
		whole->end = *end_of(from);
	if (cfg_at_ip)
		whole->ip = *ip_of(from);
	if (cfg_at_tcp)
		whole->tcp = *tcp_of(from);
	if (cfg_at_statistics)
		whole->statistics = *statistics_of(from);
	if (cfg_at_flags)
		whole->flags = *flags_of(from);
	if (cfg_at_vectors)
		whole->vectors = *vectors_of(from);
}

#else

#define RECORD_OCTETS cfg_record_octets

/* Words that are copied in one round of a loop: unrolled altogether, the copy would be a
 * tenth of the function's instructions. */
#define COPY_WORDS 8

static __always_inline void record_copy(struct flow_core *to, const struct flow_core *from)
{
	const __u32 words = cfg_record_octets / sizeof(__u64);
	const __u64 *x = (const __u64 *)from;
	__u64 *y = (__u64 *)to;
	__u32 at = 0;

	LOOP
	for (; at + COPY_WORDS <= words; at += COPY_WORDS) {
		/* or the compiler compares pointers, which tells the verifier no end */
		asm volatile("" : "+r"(at));
		__builtin_memcpy(y + at, x + at, COPY_WORDS * sizeof(*y));
	}
	LOOP
	for (; at < words; at++) {
		asm volatile("" : "+r"(at));
		y[at] = x[at];
	}
}

#endif

static __always_inline struct record_event *emit_reserve_record(void)
{
	return bpf_ringbuf_reserve(&events, offsetof(struct record_event, record) + RECORD_OCTETS, 0);
}

/* Copies the record, with the reason why it ends, and leaves it alone. */
static __always_inline void emit_fill_record(struct record_event *event, const struct flow_core *r,
					     __u8 reason)
{
	event->kind = EVENT_RECORD;
	event->end_reason = reason;
	event->pad[0] = event->pad[1] = event->pad[2] = 0;
	record_copy(&event->record, r);
}

static __always_inline void emit_submit(void *event)
{
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void emit_discard(void *event)
{
	bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
}

/* A packet that found no place in the table travels alone. Returns 0 if there
 * is no room for that either. */
static __always_inline int emit_packet(const struct packet *p)
{
	struct packet_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	event->kind = EVENT_PACKET;
	event->pad = 0;
	__builtin_memcpy(&event->packet, p, sizeof(event->packet));
	emit_submit(event);
	return 1;
}

/* What a sample says of its packet, decided under the record's lock. */
struct sample_ticket {
	__u64 flow_id;
	__u32 part;
	__u8 take;
	__u8 number;
	__u8 direction;
	__u8 bare;
};

static __noinline void emit_fill_sample(struct sample_event *event, const struct packet *p,
					const struct sample_ticket *t, __u32 length,
					__u32 frame_octets)
{
	event->kind = EVENT_SAMPLE;
	event->part = t->part;
	event->key = p->key;
	event->flow_id = t->flow_id;
	event->time_ns = p->time_ns;
	event->length = length;
	event->wire_length = frame_octets - p->l3_offset;
	event->direction = t->direction;
	event->number = t->number;
	event->protocol = p->key.protocol;
	event->ip_version = p->key.ip_version;
	event->bare = t->bare;
	event->pad[0] = event->pad[1] = event->pad[2] = 0;
}

static __always_inline long frame_load(void *ctx, int is_xdp, __u32 offset, void *to, __u32 size)
{
	if (is_xdp)
		return bpf_xdp_load_bytes(ctx, offset, to, size);
	return bpf_skb_load_bytes(ctx, offset, to, size);
}

/* A length from 1 to class, as it is, in a form that shows so to the verifier. Of
 * comparisons, Linux 6.1 would not learn that it is not 0. */
static __always_inline __u32 sample_bounded(__u32 length, __u32 class)
{
	length--;
	asm volatile("" : "+r"(length)); /* or the compiler sees that it may leave it out */
	return (length & (class - 1)) + 1;
}

/* Records come first: samples may fill half of the ring, the rest is kept for
 * what must not be lost. */
static __always_inline int emit_has_room_for_samples(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) <
	       bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2;
}

/* Sends length octets of the packet in an event that has room for class. Returns 0
 * for want of room. */
static __always_inline int emit_sample_class(void *ctx, int is_xdp, const struct packet *p,
					     const struct sample_ticket *t, __u32 length,
					     __u32 class)
{
	struct sample_event *event = bpf_ringbuf_reserve(&events, sizeof(*event) + class, 0);

	if (!event)
		return 0;
	emit_fill_sample(event, p, t, length, p->frame_octets);
	if (frame_load(ctx, is_xdp, p->l3_offset, event + 1, sample_bounded(length, class))) {
		emit_discard(event);
		return 0;
	}
	emit_submit(event);
	return 1;
}

/* Sends the packet from its IP header to the frame's end, cut at
 * cfg_sample_octets, in an event of the least class. present is what of the frame
 * is there. */
static __always_inline int emit_sample(void *ctx, int is_xdp, const struct packet *p,
				       const struct sample_ticket *t, __u32 present)
{
	__u32 length = present - p->l3_offset;

	if (!length || !emit_has_room_for_samples())
		return 0;
	if (length > cfg_sample_octets)
		length = cfg_sample_octets;
	if (length <= SAMPLE_CLASS_SMALL)
		return emit_sample_class(ctx, is_xdp, p, t, length, SAMPLE_CLASS_SMALL);
	if (length <= SAMPLE_CLASS_MEDIUM)
		return emit_sample_class(ctx, is_xdp, p, t, length, SAMPLE_CLASS_MEDIUM);
	return emit_sample_class(ctx, is_xdp, p, t, length, SAMPLE_OCTETS_MAX);
}

#endif
