/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Frame → packet: a cursor over the frame, one function per header, one status
 * at the end. The headers decode_*.h are its parts, layer by layer.
 *
 * Decoding is total: every loop has a named bound and every frame ends in a
 * status. userspace/decode is this in Go, file by file and function by function;
 * the two are held equal by test. */
#ifndef WEIR_DECODE_H
#define WEIR_DECODE_H

#include "decode_link.h"
#include "decode_shim.h"
#include "decode_network.h"
#include "decode_deep.h"
#include "decode_transport.h"
#include "decode_statistics.h"

static __always_inline __u32 accounted_octets(const struct packet *p, const struct network *n,
					      int accounting)
{
	switch (accounting) {
	case ACCOUNTING_IP:
		return n->octets;
	case ACCOUNTING_TRANSPORT:
		return n->l4_octets;
	case ACCOUNTING_PAYLOAD:
		return p->payload_octets;
	}
	return p->frame_octets;
}

/* From the link layer to behind the first IP header. */
static __always_inline int decode_network(struct cursor *c, __u32 link_type, struct packet *p)
{
	int status = decode_link(c, link_type, p);

	if (status == STATUS_OK)
		status = decode_shims(c, p);
	if (status == STATUS_OK)
		status = decode_ip(c, p);
	return status;
}

/* What of the configuration decoding depends on. */
struct decode_options {
	__u32 link_type;
	int accounting;
	int decode_tunnels;
	int tcp_statistics;
	int ip_statistics;
	__u8 point;
};

/* Decodes a frame, of p->frame_octets on the wire, into *p, the rest of which
 * the caller has zeroed, as *w. But w->tags is 1 if the interface took the
 * outermost VLAN tag out of the frame; p->key.vlan_id has it then. Sets everything
 * but time_ns. */
static __always_inline int decode_frame(void *ctx, int is_xdp, struct frame f,
					struct decode_options o, struct walk *w, struct packet *p)
{
	struct cursor c = { .f = f, .w = w };
	int status;

	w->frame_octets = p->frame_octets - w->tags * VLAN_TAG_OCTETS;
	w->decode_tunnels = o.decode_tunnels;
	status = decode_network(&c, o.link_type, p);
	if (status == STATUS_OK && is_deep(&c)) {
		status = is_xdp ? decode_deep_xdp(ctx, w, p) : decode_deep_skb(ctx, w, p);
		/* which may have moved the frame */
		c = is_xdp ? cursor_xdp(ctx, w) : cursor_skb(ctx, w);
	}
	if (status == STATUS_OK)
		status = decode_transport(&c, p);
	if (status != STATUS_OK)
		return status;
	if (o.tcp_statistics && p->tcp_flags)
		decode_tcp_statistics(ctx, is_xdp, &c, p);
	if (o.ip_statistics)
		decode_ip_statistics(&c, p);
	p->fragment = w->n.fragment;
	p->octets = accounted_octets(p, &w->n, o.accounting);
	p->key.protocol = w->n.protocol;
	p->key.ip_version = w->n.version;
	p->key.point = o.point;
	key_canonical(p, &w->n.src, &w->n.dst);
	return STATUS_OK;
}

#endif /* WEIR_DECODE_H */
