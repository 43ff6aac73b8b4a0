/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The network layer: leaves the cursor behind the IP headers. */
#ifndef WEIR_DECODE_NETWORK_H
#define WEIR_DECODE_NETWORK_H

#include "decode_cursor.h"

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_DESTINATION 60
#define EXTENSION_MOBILITY 135

static __always_inline int decode_ipv4(struct cursor *c)
{
	__u8 *ip = header(c, 0, 20);
	__u32 size, total;

	if (!ip)
		return STATUS_IP_TRUNCATED;
	size = (ip[0] & 0xf) * 4;
	total = read16(ip + 2);
	/* segmentation offload leaves the total length to the hardware */
	if (!total)
		total = c->w->frame_octets - c->w->off;
	if (ip[0] >> 4 != 4 || size < 20 || total < size)
		return STATUS_IP_MALFORMED;
	c->w->n.octets = total;
	c->w->n.l4_octets = total - size;
	c->w->n.fragment = (read16(ip + 6) & 0x1fff) != 0;
	c->w->n.protocol = ip[9];
	c->w->n.version = 4;
	c->w->n.src.word[0] = *(__u32 *)(ip + 12);
	c->w->n.src.word[1] = 0;
	c->w->n.dst.word[0] = *(__u32 *)(ip + 16);
	c->w->n.dst.word[1] = 0;
	if (size > 20 && !header(c, size - 1, 1))
		return STATUS_IP_TRUNCATED;
	c->w->off += size;
	return STATUS_OK;
}

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == EXTENSION_HOP_BY_HOP || protocol == EXTENSION_ROUTING ||
	       protocol == EXTENSION_FRAGMENT || protocol == EXTENSION_DESTINATION ||
	       protocol == EXTENSION_MOBILITY;
}

/* Steps over IPv6 extension headers. A fragment header with an offset ends the
 * chain: what follows is the middle of a packet. */
static __always_inline int decode_extensions(struct cursor *c)
{
	LOOP
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		__u8 *ext;
		__u32 size;

		if (!is_extension(c->w->n.protocol) || c->w->n.fragment)
			return STATUS_OK;
		ext = header(c, 0, 8);
		if (!ext)
			return STATUS_IP_TRUNCATED;
		size = (ext[1] + 1) * 8;
		if (c->w->n.protocol == EXTENSION_FRAGMENT) {
			size = 8;
			c->w->n.fragment = (read16(ext + 2) & 0xfff8) != 0;
		}
		if (size > c->w->n.l4_octets)
			return STATUS_IP_MALFORMED;
		c->w->n.protocol = ext[0];
		c->w->n.l4_octets -= size;
		c->w->off += size;
		forget(c);
	}
	if (is_extension(c->w->n.protocol) && !c->w->n.fragment)
		return STATUS_EXTENSION_DEPTH;
	return STATUS_OK;
}

static __always_inline int decode_ipv6(struct cursor *c)
{
	__u8 *ip = header(c, 0, 40);
	__u32 payload;

	if (!ip)
		return STATUS_IP_TRUNCATED;
	if (ip[0] >> 4 != 6)
		return STATUS_IP_MALFORMED;
	payload = read16(ip + 4);
	/* a jumbogram, or segmentation offload */
	if (!payload && c->w->frame_octets > c->w->off + 40)
		payload = c->w->frame_octets - c->w->off - 40;
	c->w->n.octets = payload + 40;
	c->w->n.l4_octets = payload;
	c->w->n.fragment = 0;
	c->w->n.protocol = ip[6];
	c->w->n.version = 6;
	c->w->n.src.word[0] = *(__u64 *)(ip + 8);
	c->w->n.src.word[1] = *(__u64 *)(ip + 16);
	c->w->n.dst.word[0] = *(__u64 *)(ip + 24);
	c->w->n.dst.word[1] = *(__u64 *)(ip + 32);
	c->w->off += 40;
	return STATUS_OK;
}

static __always_inline int decode_ip(struct cursor *c, struct packet *p)
{
	p->l3_offset = c->w->off;
	return c->w->ethertype == ETHERTYPE_IPV4 ? decode_ipv4(c) : decode_ipv6(c);
}

#endif /* WEIR_DECODE_NETWORK_H */
