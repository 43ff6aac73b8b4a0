/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The cursor that decoding moves along a frame, and what it has found so far. */
#ifndef WEIR_DECODE_CURSOR_H
#define WEIR_DECODE_CURSOR_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include "types.h"
#include "verifier.h"
#include "frame.h"
#include "key.h"

/* Headers of one kind in a row: what real networks use, and then some. */
#define EXTENSIONS_MAX 8

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_TEB 0x6558
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ_OLD 0x9100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_MPLS 0x8847
#define ETHERTYPE_MPLS_MULTICAST 0x8848
#define ETHERTYPE_PPPOE 0x8864
/* Below this, the field is the length of an 802.3 frame. */
#define ETHERTYPE_MIN 0x0600
#define ETHERNET_LENGTH_MAX 1500

#define PROTOCOL_ICMP 1
#define PROTOCOL_IPIP 4
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_DCCP 33
#define PROTOCOL_IPV6 41
#define PROTOCOL_GRE 47
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_SCTP 132
#define PROTOCOL_UDPLITE 136

/* What the IP headers said; l4_octets as they claim, captured or not. */
struct network {
	struct endpoint src;
	struct endpoint dst;
	__u32 octets;    /* IP header and what follows it */
	__u32 l4_octets; /* what follows the IP headers */
	__u8 protocol;
	__u8 version;
	__u8 fragment;
};

/* How far decoding is: at off comes what ethertype says. */
struct walk {
	__u32 off;
	__u32 frame_octets;
	__u16 ethertype;
	__u8 tags; /* VLAN tags seen at all levels */
	__u8 decode_tunnels;
	struct network n; /* of the last IP header */
	struct frame_room room; /* of the last header that was asked for */
};

struct cursor {
	struct frame f;
	struct walk *w;
};

static __always_inline struct cursor cursor_xdp(struct xdp_md *ctx, struct walk *w)
{
	return (struct cursor){ frame_xdp(ctx), w };
}

static __always_inline struct cursor cursor_skb(struct __sk_buff *ctx, struct walk *w)
{
	return (struct cursor){ frame_skb(ctx), w };
}

/* The next size octets at the cursor plus skip, or NULL; until the next header is
 * asked for. */
static __always_inline void *header(const struct cursor *c, __u32 skip, __u32 size)
{
	return frame_at(&c->f, &c->w->room, c->w->off + skip, size);
}

static __always_inline void forget(struct cursor *c)
{
	__u32 zero = unknown_zero;

	c->w->off += zero;
	c->w->tags += zero;
}

/* Headers lie anywhere. They are read whole and not octet by octet, at a fourth of
 * the instructions: every machine that these programs run on can. */
static __always_inline __u16 read16(const void *p)
{
	return bpf_ntohs(*(const __u16 *)p);
}

static __always_inline __u32 read32(const void *p)
{
	return bpf_ntohl(*(const __u32 *)p);
}

#endif /* WEIR_DECODE_CURSOR_H */
