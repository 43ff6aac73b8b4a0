/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Tunnels: what IP packets carry besides a transport header. */
#ifndef WEIR_DECODE_TUNNEL_H
#define WEIR_DECODE_TUNNEL_H

#include "decode_shim.h"
#include "decode_network.h"

/* How that begins which a tunnel carries. */
enum inner_frame {
	INNER_PACKET, /* with what the Ethertype says */
	INNER_ETHERNET,
	INNER_PPP,
	INNER_WIFI,
	INNER_WIFI_SWAPPED, /* fields of 16 bits may have their octets swapped */
};

/* What a tunnel's header says. */
struct inner {
	__u32 skip; /* from the cursor to what is inside */
	__u32 key;
	__u16 ethertype; /* of an INNER_PACKET */
	__u8 kind;       /* enum tunnel_kind */
	__u8 frame;      /* enum inner_frame */
	__u8 two_keys;   /* one for each direction: no part of a flow's key */
	__u8 pad[3];
};

#include "decode_tunnel_udp.h"

/* Whether a whole IP header of the given Ethertype, sound at first sight, is at
 * the cursor plus skip. Tunnels are recognised by port or protocol, so that
 * anything may be inside; what is not IP stays a packet of the outer flow. */
static __always_inline int peek_ip(const struct cursor *c, __u32 skip, __u16 ethertype)
{
	__u8 *ip;

	if (ethertype == ETHERTYPE_IPV4) {
		ip = header(c, skip, 20);
		return ip && ip[0] >> 4 == 4 && (ip[0] & 0xf) >= 5;
	}
	if (ethertype == ETHERTYPE_IPV6) {
		ip = header(c, skip, 40);
		return ip && ip[0] >> 4 == 6;
	}
	return 0;
}

/* The same for an inner Ethernet frame, behind its tags. More tags than are
 * followed are for decode_vlans() to refuse. */
static __always_inline int peek_ethernet(const struct cursor *c, __u32 skip)
{
	__u8 *h = header(c, skip, 14);
	__u16 type;

	if (!h)
		return 0;
	type = read16(h + 12);
	skip += 14;
	LOOP
	for (int i = 0; i < VLAN_TAGS_MAX && is_vlan(type); i++) {
		h = header(c, skip, VLAN_TAG_OCTETS);
		if (!h)
			return 0;
		type = read16(h + 2);
		skip += VLAN_TAG_OCTETS + unknown_zero;
	}
	return is_vlan(type) || peek_ip(c, skip, type);
}

/* Steps over PPP or 802.11, down to what an Ethertype tells. 0 if none does. */
static __always_inline int inner_unwrap(const struct cursor *c, struct inner *in)
{
	struct wifi_layout layout = { .swapped = in->frame == INNER_WIFI_SWAPPED };

	switch (in->frame) {
	case INNER_PPP:
		in->ethertype = ppp_header(c, &in->skip);
		return in->ethertype != 0;
	case INNER_WIFI:
	case INNER_WIFI_SWAPPED:
		return wifi_headers(c, layout, &in->skip, &in->ethertype) == STATUS_OK;
	}
	return 1;
}

/* The outermost tunnel is the packet's. */
static __always_inline void tunnel_note(const struct cursor *c, struct packet *p,
					const struct inner *in)
{
	if (!p->outer_ip_version) {
		p->outer_ip_version = c->w->n.version;
		__builtin_memcpy(p->outer_addr[0], c->w->n.src.word, 16);
		__builtin_memcpy(p->outer_addr[1], c->w->n.dst.word, 16);
	}
	if (in->kind == TUNNEL_NONE || p->key.tunnel_id != TUNNEL_NONE)
		return;
	p->key.tunnel_id = in->kind;
	p->key.tunnel_key = in->two_keys ? 0 : in->key;
	p->tunnel_key = in->key;
}

/* Enters what a tunnel's header says that it carries; 0 if that is not there.
 * Then the cursor stands at an Ethernet frame, or at an IP header. */
static __always_inline int tunnel_enter(struct cursor *c, struct inner *in, struct packet *p)
{
	__u32 frame = in->skip;

	in->skip += unknown_zero;
	if (!inner_unwrap(c, in))
		return 0;
	if (in->frame == INNER_ETHERNET) {
		if (!peek_ethernet(c, in->skip))
			return 0;
		in->ethertype = ETHERTYPE_TEB;
	} else if (!peek_ip(c, in->skip, in->ethertype)) {
		return 0;
	}
	if (in->frame == INNER_WIFI || in->frame == INNER_WIFI_SWAPPED)
		wifi_macs(c, frame, p);
	c->w->off += in->skip;
	c->w->ethertype = in->ethertype;
	tunnel_note(c, p, in);
	return 1;
}

#define GRE_CHECKSUM 0x80
#define GRE_ROUTING 0x40
#define GRE_KEY 0x20
#define GRE_SEQUENCE 0x10
#define GRE_ACKNOWLEDGE 0x80 /* of version 1, in the second octet */
#define GRE_PPP 0x880b
#define GRE_ERSPAN 0x88be
#define GRE_ERSPAN_III 0x22eb

/* ERSPAN (draft-foschiano-erspan): type I is an Ethernet frame and nothing else,
 * II has a header of 8 octets, III one of 12 and maybe 8 of the platform. */
static __always_inline int tunnel_erspan(const struct cursor *c, struct inner *in, int version)
{
	__u8 *h = header(c, in->skip, version == 2 ? 8 : 12);

	if (!h || h[0] >> 4 != version - 1)
		return 0;
	in->key = read16(h + 2) & 0x3ff;
	in->skip += 8;
	if (version == 2)
		return 1;
	/* the frame type: 0 is Ethernet */
	if (h[10] & 0x7c)
		return 0;
	in->skip += h[11] & 1 ? 12 : 4;
	return 1;
}

/* GRE version 0 (RFC 2784, 2890): checksum, key and sequence are optional. */
static __always_inline int tunnel_gre0(const struct cursor *c, __u8 flags, struct inner *in)
{
	__u8 *field;

	in->skip = flags & GRE_CHECKSUM ? 8 : 4;
	if (flags & GRE_KEY) {
		field = header(c, in->skip, 4);
		if (!field)
			return 0;
		in->key = read32(field);
		in->skip += 4;
	}
	if (flags & GRE_SEQUENCE)
		in->skip += 4;
	in->frame = in->ethertype == ETHERTYPE_TEB ? INNER_ETHERNET : INNER_PACKET;
	if (in->ethertype != GRE_ERSPAN && in->ethertype != GRE_ERSPAN_III)
		return 1;
	in->skip += unknown_zero;
	in->frame = INNER_ETHERNET;
	if (in->ethertype == GRE_ERSPAN_III)
		return tunnel_erspan(c, in, 3);
	return !(flags & GRE_SEQUENCE) || tunnel_erspan(c, in, 2);
}

/* GRE version 1 (RFC 2637, PPTP): PPP, where there is a sequence number. The key
 * is the call's, of the receiver. */
static __always_inline int tunnel_pptp(const struct cursor *c, __u8 flags, __u8 version,
				       struct inner *in)
{
	__u8 *call = header(c, 4, 4);

	if (!call || in->ethertype != GRE_PPP || !(flags & GRE_KEY) || !(flags & GRE_SEQUENCE))
		return 0;
	in->key = read16(call + 2);
	in->two_keys = 1;
	in->skip = version & GRE_ACKNOWLEDGE ? 16 : 12;
	in->frame = INNER_PPP;
	return 1;
}

static __always_inline int tunnel_gre(const struct cursor *c, struct inner *in)
{
	__u8 *gre = header(c, 0, 4);

	__u8 flags, version;

	if (!gre || gre[0] & GRE_ROUTING)
		return 0;
	flags = gre[0];
	version = gre[1];
	in->kind = TUNNEL_GRE;
	in->ethertype = read16(gre + 2);
	switch (version & 7) {
	case 0:
		return tunnel_gre0(c, flags, in);
	case 1:
		return tunnel_pptp(c, flags, version, in);
	}
	return 0;
}

/* Whether the packet carries another, and how, by the word of its headers. IP in
 * IP always is looked into, and is no tunnel by nfstream's count. */
static __always_inline int tunnel_find(const struct cursor *c, struct inner *in)
{
	if (c->w->n.fragment)
		return 0;
	switch (c->w->n.protocol) {
	case PROTOCOL_IPIP:
		in->ethertype = ETHERTYPE_IPV4;
		return 1;
	case PROTOCOL_IPV6:
		in->ethertype = ETHERTYPE_IPV6;
		return 1;
	case PROTOCOL_GRE:
		return c->w->decode_tunnels && tunnel_gre(c, in);
	case PROTOCOL_UDP:
		return c->w->decode_tunnels && tunnel_udp(c, in);
	}
	return 0;
}

#endif /* WEIR_DECODE_TUNNEL_H */
