//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs and nothing else: XDP and TCX at the interface, and two that are
 * never attached but run by user space, the sweep and "classification done". */
#include <linux/errno.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "config.h"
#include "maps.h"
#include "clock.h"
#include "ledger.h"
#include "decode.h"
#include "table.h"
#include "work.h"
#include "sweep_run.h"
#include "sweep_walk.h"
#include "exported.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Decode → record or overflow. l->observed was bumped by the caller. Says whether the
 * packet is to be sampled. */
static __always_inline int meter_frame(void *ctx, int is_xdp, struct frame f, struct work *w,
				       struct ledger *l)
{
	struct packet *p = &w->p;
	int status;

	if (cfg_filter && !frame_matches(&f, p->frame_octets)) {
		ledger_ignore(l, STATUS_FILTERED, p->frame_octets);
		return 0;
	}
	status = work_decode(ctx, is_xdp, f, w);
	if (status != STATUS_OK) {
		ledger_ignore(l, status, p->frame_octets);
		return 0;
	}
	l->metered_packets++;
	l->metered_octets += p->frame_octets;
	l->accounted_octets += p->octets;
	w->t = (struct sample_ticket){};
	if (table_account(p, l, &w->t))
		return cfg_samples && w->t.take;
	if (emit_packet(p)) {
		l->overflow_packets++;
		return 0;
	}
	l->lost_packets++;
	l->lost_octets += p->octets;
	return 0;
}

/* A sample costs a label at most: that it was not sent is counted, no more. */
static __always_inline void sample_frame(void *ctx, int is_xdp, const struct packet *p,
					 const struct sample_ticket *t, __u32 present,
					 struct ledger *l)
{
	int sent = emit_sample(ctx, is_xdp, p, t, present);

	l->samples += sent;
	l->samples_lost += !sent;
}

static __noinline void sample_xdp(struct xdp_md *ctx, const struct packet *p,
				  const struct sample_ticket *t, __u32 present,
				  struct ledger *l)
{
	sample_frame(ctx, 1, p, t, present, l);
}

static __noinline void sample_skb(struct __sk_buff *ctx, const struct packet *p,
				  const struct sample_ticket *t, __u32 present,
				  struct ledger *l)
{
	sample_frame(ctx, 0, p, t, present, l);
}

/* TCX_NEXT, which the headers of Linux 6.1 do not know yet: on to the next
 * program, as if this one were not there. */
#define VERDICT_NEXT -1

SEC("xdp.frags")
int weir_xdp_in(struct xdp_md *ctx)
{
	struct ledger *l = ledger_of_point();
	WORK(w);

	if (!l || !w)
		return XDP_PASS;
	w->p.frame_octets = bpf_xdp_get_buff_len(ctx);
	w->p.time_ns = clock_of_frame(ctx, &w->p.frame_octets);
	l->observed_packets++;
	l->observed_octets += w->p.frame_octets;
	if (meter_frame(ctx, 1, frame_xdp(ctx), w, l))
		sample_xdp(ctx, &w->p, &w->t, bpf_xdp_get_buff_len(ctx), l);
	return XDP_PASS;
}

/* What is read of a frame unless it turns out to be deep: Ethernet, all tags,
 * SNAP, PPPoE and labels that are followed, IPv4 and TCP with all options. */
#define SHALLOW_HEADERS_MAX (14 + 4 * 4 + 8 + 8 + 8 * 4 + 60 + 60)

static __always_inline int meter_skb(struct __sk_buff *ctx)
{
	/* a tag that the kernel took out of the frame is part of it all the same */
	__u8 tags = ctx->vlan_present ? 1 : 0;
	struct ledger *l = ledger_of_point();
	WORK(w);

	if (!l || !w)
		return VERDICT_NEXT;
	w->p.frame_octets = ctx->len + tags * VLAN_TAG_OCTETS;
	w->p.time_ns = clock_now();
	l->observed_packets++;
	l->observed_octets += w->p.frame_octets;
	w->w.tags = tags;
	if (tags)
		w->p.key.vlan_id = ctx->vlan_tci & 0xfff;
	frame_bring(ctx, SHALLOW_HEADERS_MAX);
	if (meter_frame(ctx, 0, frame_skb(ctx), w, l)) {
		w->p.frame_octets = ctx->len; /* of which l3_offset is an offset */
		sample_skb(ctx, &w->p, &w->t, ctx->len, l);
	}
	return VERDICT_NEXT;
}

SEC("tcx/ingress")
int weir_tcx_in(struct __sk_buff *ctx)
{
	return meter_skb(ctx);
}

SEC("tcx/egress")
int weir_tcx_out(struct __sk_buff *ctx)
{
	return meter_skb(ctx);
}

/* Input and output packet: a struct sweep_packet. One without keys only tells the clock. */
SEC("xdp.frags")
int weir_sweep(struct xdp_md *ctx)
{
	struct sweep *io = (void *)(long)ctx->data;
	struct sweep_run r = { .ctx = ctx };

	if ((void *)(io + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	r.sweep = *io;
	if (!r.sweep.now_ns)
		r.sweep.now_ns = clock_now();
	sweep_run(&r);
	io = (void *)(long)ctx->data;
	if ((void *)(io + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*io = r.sweep;
	return XDP_PASS;
}

#ifndef FRAME_COPIED /* the kernel takes iterators with CAP_PERFMON only */

SEC("iter/bpf_map_elem")
int weir_sweep_walk(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 zero = 0;
	struct sweep_walk *w = bpf_map_lookup_elem(&sweep_state, &zero);

	return w ? sweep_walk(ctx, w) : 0;
}

#endif

/* Verdicts handed over in one run. */
#define DPI_DONE_BATCH 32

static long dpi_done_step(__u32 i, struct xdp_md **ctx)
{
	struct flow_entry *e;
	struct dpi_done d;

	if (bpf_xdp_load_bytes(*ctx, i * sizeof(d), &d, sizeof(d)))
		return 1;
	e = bpf_map_lookup_elem(&flows, &d.key);
	if (!e)
		return 0;
	bpf_spin_lock(&e->lock);
	if (e->record.flow_id == d.flow_id && e->record.part == d.part && e->state == ENTRY_OPEN)
		e->dpi_done = 1;
	bpf_spin_unlock(&e->lock);
	return 0;
}

/* Input packet: up to DPI_DONE_BATCH struct dpi_done. A flow that has ended or
 * split since is left alone. */
SEC("xdp")
int weir_dpi_done(struct xdp_md *ctx)
{
	bpf_loop(DPI_DONE_BATCH, dpi_done_step, &ctx, 0);
	return XDP_PASS;
}
