/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Tunnels over UDP, known by their ports. The cursor stands at the UDP header. */
#ifndef WEIR_DECODE_TUNNEL_UDP_H
#define WEIR_DECODE_TUNNEL_UDP_H

#include "decode_tunnel.h"

#define PORT_L2TP 1701
#define PORT_GTPU 2152
#define PORT_VXLAN 4789
#define PORT_CAPWAP 5247
#define PORT_GENEVE 6081
#define PORT_TZSP 37008

#define UDP_OCTETS 8

/* VXLAN (RFC 7348). */
static __always_inline int tunnel_vxlan(const struct cursor *c, struct inner *in)
{
	__u8 *h = header(c, UDP_OCTETS, 8);

	if (!h || !(h[0] & 0x08))
		return 0;
	in->kind = TUNNEL_VXLAN;
	in->key = read32(h + 4) >> 8;
	in->skip = UDP_OCTETS + 8;
	in->frame = INNER_ETHERNET;
	return 1;
}

/* Geneve (RFC 8926); options in units of 4 octets. */
static __always_inline int tunnel_geneve(const struct cursor *c, struct inner *in)
{
	__u8 *h = header(c, UDP_OCTETS, 8);

	if (!h || h[0] >> 6)
		return 0;
	in->kind = TUNNEL_GENEVE;
	in->key = read32(h + 4) >> 8;
	in->skip = UDP_OCTETS + 8 + (h[0] & 0x3f) * 4;
	in->ethertype = read16(h + 2);
	in->frame = in->ethertype == ETHERTYPE_TEB ? INNER_ETHERNET : INNER_PACKET;
	return 1;
}

/* Steps *size over GTP-U's extension headers, in units of 4 octets, the last
 * octet of each saying what comes next. 0 if there are more than EXTENSIONS_MAX,
 * or one is broken. */
static __always_inline int gtpu_extensions(const struct cursor *c, __u32 *size, __u8 next)
{
	LOOP
	for (int i = 0; i < EXTENSIONS_MAX && next; i++) {
		__u8 *field = header(c, *size, 1);
		__u32 length;

		if (!field || !*field)
			return 0;
		length = *field * 4;
		field = header(c, *size + length - 1, 1);
		if (!field)
			return 0;
		next = *field;
		*size += length + unknown_zero;
	}
	return !next;
}

/* GTP-U (3GPP TS 29.281): T-PDUs of version 1. */
static __always_inline int tunnel_gtpu(const struct cursor *c, struct inner *in)
{
	__u8 *h = header(c, UDP_OCTETS, 8);
	__u8 next = 0;
	__u8 *field, flags;

	if (!h || h[0] >> 5 != 1 || !(h[0] & 0x10) || h[1] != 0xff)
		return 0;
	in->kind = TUNNEL_GTP;
	flags = h[0];
	in->key = read32(h + 4);
	in->two_keys = 1;
	in->skip = UDP_OCTETS + 8;
	if (flags & 7) {
		field = header(c, in->skip, 4);
		if (!field)
			return 0;
		if (flags & 4)
			next = field[3];
		in->skip += 4;
	}
	if (!gtpu_extensions(c, &in->skip, next))
		return 0;
	field = header(c, in->skip, 1);
	if (!field)
		return 0;
	in->ethertype = *field >> 4 == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
	return 1;
}

/* CAPWAP data (RFC 5415 section 4.3): 802.3 or 802.11 frames. Not DTLS, not
 * keep-alives, and of fragments the first. Cisco's access points swap the octets
 * of frame, sequence and QoS control. */
static __always_inline int tunnel_capwap(const struct cursor *c, struct inner *in)
{
	__u8 *h = header(c, UDP_OCTETS, 8);
	__u32 size;

	if (!h || h[0] || h[3] & 0x08)
		return 0;
	if (h[3] & 0x80 && read16(h + 6) >> 3)
		return 0;
	size = (h[1] >> 3) * 4;
	if (size < 8)
		return 0;
	in->kind = TUNNEL_CAPWAP;
	in->skip = UDP_OCTETS + size;
	in->frame = h[2] & 1 ? INNER_WIFI_SWAPPED : INNER_ETHERNET;
	/* a frame as the binding has it: 1 is 802.11 */
	return !(h[2] & 1) || (h[2] >> 1 & 0x1f) == 1;
}

#define TZSP_ETHERNET 1
#define TZSP_WIFI 18
#define TZSP_PADDING 0
#define TZSP_END 1
#define TZSP_TAGS_MAX 16

/* Steps *size over the tags, to behind the one that ends them. */
static __always_inline int tzsp_tags(const struct cursor *c, __u32 *size)
{
	LOOP
	for (int i = 0; i < TZSP_TAGS_MAX; i++) {
		__u8 *tag = header(c, *size, 1);

		if (!tag)
			return 0;
		*size += 1 + unknown_zero;
		if (*tag == TZSP_END)
			return 1;
		if (*tag == TZSP_PADDING)
			continue;
		tag = header(c, *size, 1);
		if (!tag)
			return 0;
		*size += 1 + *tag;
	}
	return 0;
}

/* TZSP, version 1: frames received or to be sent. */
static __always_inline int tunnel_tzsp(const struct cursor *c, struct inner *in)
{
	__u8 *h = header(c, UDP_OCTETS, 4);
	__u16 frame;

	if (!h || h[0] != 1 || h[1] > 1)
		return 0;
	frame = read16(h + 2);
	if (frame != TZSP_ETHERNET && frame != TZSP_WIFI)
		return 0;
	in->kind = TUNNEL_TZSP;
	in->skip = UDP_OCTETS + 4;
	in->frame = frame == TZSP_WIFI ? INNER_WIFI : INNER_ETHERNET;
	return tzsp_tags(c, &in->skip);
}

#define L2TP_CONTROL 0x8000
#define L2TP_LENGTH 0x4000
#define L2TP_SEQUENCE 0x0800
#define L2TP_OFFSET 0x0200

/* L2TP version 2 (RFC 2661 section 3.1): data messages, which carry PPP. Tunnel
 * and session are numbered by the receiver. */
static __always_inline int tunnel_l2tp(const struct cursor *c, struct inner *in)
{
	__u8 *h = header(c, UDP_OCTETS, 2);
	__u16 flags;

	if (!h)
		return 0;
	flags = read16(h);
	if (flags & L2TP_CONTROL || (flags & 0xf) != 2)
		return 0;
	in->skip = UDP_OCTETS + (flags & L2TP_LENGTH ? 4 : 2);
	h = header(c, in->skip, 4);
	if (!h)
		return 0;
	in->key = read32(h);
	in->skip += flags & L2TP_SEQUENCE ? 8 : 4;
	if (flags & L2TP_OFFSET) {
		h = header(c, in->skip, 2);
		if (!h)
			return 0;
		in->skip += 2 + read16(h);
	}
	in->kind = TUNNEL_L2TP;
	in->two_keys = 1;
	in->frame = INNER_PPP;
	return 1;
}

static __always_inline int is_tunnel_port(__u16 port)
{
	return port == PORT_VXLAN || port == PORT_GENEVE || port == PORT_GTPU ||
	       port == PORT_CAPWAP || port == PORT_TZSP || port == PORT_L2TP;
}

/* To VXLAN and Geneve the port is the destination's; the others answer from it. */
static __always_inline int tunnel_udp(const struct cursor *c, struct inner *in)
{
	__u8 *udp = header(c, 0, UDP_OCTETS);
	__u16 src, dst;

	if (!udp || c->w->n.l4_octets < UDP_OCTETS)
		return 0;
	src = read16(udp);
	dst = read16(udp + 2);
	if (dst == PORT_VXLAN)
		return tunnel_vxlan(c, in);
	if (dst == PORT_GENEVE)
		return tunnel_geneve(c, in);
	if (dst == PORT_GTPU || src == PORT_GTPU)
		return tunnel_gtpu(c, in);
	if (dst == PORT_CAPWAP || src == PORT_CAPWAP)
		return tunnel_capwap(c, in);
	if (dst == PORT_TZSP || src == PORT_TZSP)
		return tunnel_tzsp(c, in);
	if (dst == PORT_L2TP || src == PORT_L2TP)
		return tunnel_l2tp(c, in);
	return 0;
}

#endif /* WEIR_DECODE_TUNNEL_UDP_H */
