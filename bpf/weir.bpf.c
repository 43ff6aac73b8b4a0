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
#include "sweep.h"
#include "exported.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Replaced by the loader with the user's filter, translated; as it stands it
 * matches every frame. The assembly keeps the compiler from knowing that, and
 * from dropping length, the frame's original length. */
static __noinline int packet_filter(void *data, void *data_end, __u32 length)
{
	int match = data <= data_end;

	asm volatile("" : "+r"(match) : "r"(length));
	return match;
}

/* Decode → record or overflow. l->observed was bumped by the caller. */
static __always_inline void meter_frame(void *ctx, int is_xdp, void *data, void *end, __u8 tags,
					struct packet *p, struct ledger *l,
					struct sample_ticket *t)
{
	struct decode_options options = {
		.link_type = cfg_link_type,
		.accounting = cfg_accounting,
		.decode_tunnels = cfg_decode_tunnels,
		.tcp_statistics = cfg_tcp_statistics,
		.ip_statistics = cfg_ip_statistics,
		.point = cfg_point,
	};
	int status;

	if (cfg_filter && !packet_filter(data, end, p->frame_octets)) {
		ledger_ignore(l, STATUS_FILTERED, p->frame_octets);
		return;
	}
	status = decode_frame(ctx, is_xdp, data, end, tags, options, p);
	if (status != STATUS_OK) {
		ledger_ignore(l, status, p->frame_octets);
		return;
	}
	l->metered_packets++;
	l->metered_octets += p->frame_octets;
	l->accounted_octets += p->octets;
	if (table_account(p, l, t))
		return;
	if (emit_packet(p)) {
		l->overflow_packets++;
		return;
	}
	l->lost_packets++;
	l->lost_octets += p->octets;
}

/* A sample costs a label at most: that it was not sent is counted, no more. */
static __always_inline void sample_frame(void *ctx, int is_xdp, const struct packet *p,
					 const struct sample_ticket *t, __u32 present,
					 struct ledger *l)
{
	if (emit_sample(ctx, is_xdp, p, t, present))
		l->samples++;
	else
		l->samples_lost++;
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
	__u32 present = bpf_xdp_get_buff_len(ctx);
	struct ledger *l = ledger_of_point();
	struct packet p = { .frame_octets = present };
	struct sample_ticket t = {};

	if (!l)
		return XDP_PASS;
	p.time_ns = clock_of_frame(ctx, &p.frame_octets);
	l->observed_packets++;
	l->observed_octets += p.frame_octets;
	meter_frame(ctx, 1, (void *)(long)ctx->data, (void *)(long)ctx->data_end, 0, &p, l,
		    &t);
	if (cfg_samples && t.take)
		sample_xdp(ctx, &p, &t, present, l);
	return XDP_PASS;
}

/* What is read of a frame unless it turns out to be deep: Ethernet, all tags,
 * SNAP, PPPoE and labels that are followed, IPv4 and TCP with all options. */
#define SHALLOW_HEADERS_MAX (14 + 4 * 4 + 8 + 8 + 8 * 4 + 60 + 60)

static __always_inline int meter_skb(struct __sk_buff *ctx)
{
	/* a tag that the kernel took out of the frame is part of it all the same */
	__u8 tags = ctx->vlan_present ? 1 : 0;
	struct packet p = { .frame_octets = ctx->len + tags * VLAN_TAG_OCTETS };
	struct ledger *l = ledger_of_point();
	struct sample_ticket t = {};

	if (!l)
		return VERDICT_NEXT;
	p.time_ns = clock_now();
	l->observed_packets++;
	l->observed_octets += p.frame_octets;
	if (tags)
		p.key.vlan_id = ctx->vlan_tci & 0xfff;
	skb_pull(ctx, SHALLOW_HEADERS_MAX);
	meter_frame(ctx, 0, (void *)(long)ctx->data, (void *)(long)ctx->data_end, tags, &p, l,
		    &t);
	if (cfg_samples && t.take) {
		p.frame_octets = ctx->len; /* of which l3_offset is an offset */
		sample_skb(ctx, &p, &t, ctx->len, l);
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

/* Input and output packet: one struct sweep. */
SEC("xdp")
int weir_sweep(struct xdp_md *ctx)
{
	struct sweep *io = (void *)(long)ctx->data;
	struct sweep s;

	if ((void *)(io + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	s = *io;
	if (!s.now_ns)
		s.now_ns = clock_now();
	sweep_run(&s);
	io = (void *)(long)ctx->data;
	if ((void *)(io + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*io = s;
	return XDP_PASS;
}

/* Verdicts handed over in one run. */
#define DPI_DONE_BATCH 32

/* Input packet: up to DPI_DONE_BATCH struct dpi_done. A flow that has ended or
 * split since is left alone. */
SEC("xdp")
int weir_dpi_done(struct xdp_md *ctx)
{
	for (int i = 0; i < DPI_DONE_BATCH; i++) {
		struct dpi_done *in = (void *)(long)ctx->data;
		struct flow_entry *e;
		struct dpi_done d;

		if ((void *)(in + i + 1) > (void *)(long)ctx->data_end)
			break;
		d = in[i];
		e = bpf_map_lookup_elem(&flows, &d.key);
		if (!e)
			continue;
		bpf_spin_lock(&e->lock);
		if (e->record.flow_id == d.flow_id && e->record.part == d.part &&
		    e->state == ENTRY_OPEN)
			e->dpi_done = 1;
		bpf_spin_unlock(&e->lock);
	}
	return XDP_PASS;
}
