/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What most packets do not have: extension headers and tunnels.
 *
 * It is in global functions. The verifier looks at each once, on its own, whatever
 * state its callers are in; without these cuts every path through a packet would
 * be multiplied by every path through a tunnel, at each level anew. They come
 * twice, as XDP and TCX give a frame in contexts of different types. */
#ifndef WEIR_DECODE_DEEP_H
#define WEIR_DECODE_DEEP_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "decode_shim.h"
#include "decode_network.h"
#include "decode_tunnel.h"

#define TUNNEL_LEVELS_MAX 4

/* Whether more than one IP header and a transport header is to be read. Most
 * packets have no more, and pay for nothing else. */
static __always_inline int is_deep(const struct cursor *c)
{
	__u8 *udp;

	if (c->w->n.version == 6 && is_extension(c->w->n.protocol))
		return 1;
	if (c->w->n.protocol == PROTOCOL_IPIP || c->w->n.protocol == PROTOCOL_IPV6)
		return 1;
	if (!c->w->decode_tunnels)
		return 0;
	if (c->w->n.protocol == PROTOCOL_GRE)
		return 1;
	if (c->w->n.protocol != PROTOCOL_UDP)
		return 0;
	udp = header(c, 0, 4);
	return udp && (is_tunnel_port(read16(udp)) || is_tunnel_port(read16(udp + 2)));
}

__noinline int tunnel_find_xdp(struct xdp_md *ctx, struct walk *w, struct inner *in)
{
	struct cursor c;

	if (!w || !in)
		return 0;
	c = cursor_xdp(ctx, w);
	return tunnel_find(&c, in);
}

__noinline int tunnel_find_skb(struct __sk_buff *ctx, struct walk *w, struct inner *in)
{
	struct cursor c;

	if (!w || !in)
		return 0;
	c = cursor_skb(ctx, w);
	return tunnel_find(&c, in);
}

__noinline int tunnel_enter_xdp(struct xdp_md *ctx, struct walk *w, struct inner *in,
				struct packet *p)
{
	struct cursor c;

	if (!w || !in || !p)
		return 0;
	c = cursor_xdp(ctx, w);
	return tunnel_enter(&c, in, p);
}

__noinline int tunnel_enter_skb(struct __sk_buff *ctx, struct walk *w, struct inner *in,
				struct packet *p)
{
	struct cursor c;

	if (!w || !in || !p)
		return 0;
	c = cursor_skb(ctx, w);
	return tunnel_enter(&c, in, p);
}

/* From what a tunnel carries to behind its IP header. */
static __always_inline int decode_inner(struct cursor *c, struct packet *p)
{
	int status = STATUS_OK;

	if (c->w->ethertype == ETHERTYPE_TEB)
		status = decode_ethernet(c, p);
	if (status == STATUS_OK)
		status = decode_shims(c, p);
	if (status == STATUS_OK)
		status = decode_ip(c, p);
	return status;
}

__noinline int decode_inner_xdp(struct xdp_md *ctx, struct walk *w, struct packet *p)
{
	struct cursor c;

	if (!w || !p)
		return STATUS_LINK_TRUNCATED;
	c = cursor_xdp(ctx, w);
	return decode_inner(&c, p);
}

__noinline int decode_inner_skb(struct __sk_buff *ctx, struct walk *w, struct packet *p)
{
	struct cursor c;

	if (!w || !p)
		return STATUS_LINK_TRUNCATED;
	c = cursor_skb(ctx, w);
	return decode_inner(&c, p);
}

__noinline int decode_extensions_xdp(struct xdp_md *ctx, struct walk *w)
{
	struct cursor c;

	if (!w)
		return STATUS_LINK_TRUNCATED;
	c = cursor_xdp(ctx, w);
	return decode_extensions(&c);
}

__noinline int decode_extensions_skb(struct __sk_buff *ctx, struct walk *w)
{
	struct cursor c;

	if (!w)
		return STATUS_LINK_TRUNCATED;
	c = cursor_skb(ctx, w);
	return decode_extensions(&c);
}

/* From behind the first IP header down to behind the last. The round after the
 * last level is there to see that it holds no further tunnel. */
__noinline int decode_deep_xdp(struct xdp_md *ctx, struct walk *w, struct packet *p)
{
	int status;

	if (!w || !p)
		return STATUS_LINK_TRUNCATED;
	LOOP
	for (int level = 0; level <= TUNNEL_LEVELS_MAX; level++) {
		struct inner in = {};

		status = w->n.version == 6 ? decode_extensions_xdp(ctx, w) : STATUS_OK;
		if (status != STATUS_OK || !tunnel_find_xdp(ctx, w, &in) ||
		    !tunnel_enter_xdp(ctx, w, &in, p))
			return status;
		status = decode_inner_xdp(ctx, w, p);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_TUNNEL_DEPTH;
}

/* The same, with the frame readable as far as headers are followed. */
__noinline int decode_deep_skb(struct __sk_buff *ctx, struct walk *w, struct packet *p)
{
	int status;

	if (!w || !p)
		return STATUS_LINK_TRUNCATED;
	frame_bring(ctx, HEADERS_MAX + HEADER_MAX);
	LOOP
	for (int level = 0; level <= TUNNEL_LEVELS_MAX; level++) {
		struct inner in = {};

		status = w->n.version == 6 ? decode_extensions_skb(ctx, w) : STATUS_OK;
		if (status != STATUS_OK || !tunnel_find_skb(ctx, w, &in) ||
		    !tunnel_enter_skb(ctx, w, &in, p))
			return status;
		status = decode_inner_skb(ctx, w, p);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_TUNNEL_DEPTH;
}

#endif /* WEIR_DECODE_DEEP_H */
