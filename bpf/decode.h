/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A cursor over a frame, one function per header, one status at the end.
 *
 * Decoding is total: every loop has a named bound and every frame ends in a
 * status. userspace/decode is this file in Go, function by function; the two are
 * held equal by test. */
#ifndef WEIR_DECODE_H
#define WEIR_DECODE_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include "types.h"
#include "key.h"
#include "tcp.h"

/* Bounds: what real networks use, and one more level of each. */
#define VLAN_TAGS_MAX 4
#define VLAN_TAG_OCTETS 4
#define MPLS_LABELS_MAX 8
#define EXTENSIONS_MAX 8
#define TUNNEL_LEVELS_MAX 4
/* Headers are followed within the first octets of a frame only: an XDP program
 * sees the linear part, and a fixed bound is the same in both homes. */
#define HEADERS_MAX 2048

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

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_DESTINATION 60
#define EXTENSION_MOBILITY 135

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
/* A TCP header has room for so many octets of options. */
#define TCP_OPTIONS_MAX 40

#define PORT_GTPU 2152
#define PORT_VXLAN 4789
#define PORT_GENEVE 6081

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
};

struct cursor {
	void *data;
	void *end;
	struct walk *w;
};

/* The next size octets at the cursor plus skip, or NULL. */
static __always_inline void *header(const struct cursor *c, __u32 skip, __u32 size)
{
	__u32 off = c->w->off + skip;
	void *p;

	if (off > HEADERS_MAX)
		return NULL;
	p = c->data + off;
	if (p + size > c->end)
		return NULL;
	return p;
}

/* Zero, which the verifier cannot know. Loops add it to what they carry from
 * one round to the next: each round then looks like the one before, and is
 * verified once. (Without it, every offset ever reached is a path of its own.) */
static volatile __u32 unknown_zero;

static __always_inline void forget(struct cursor *c)
{
	__u32 zero = unknown_zero;

	c->w->off += zero;
	c->w->tags += zero;
}

static __always_inline __u16 read16(const void *p)
{
	const __u8 *b = p;

	return (__u16)b[0] << 8 | b[1];
}

static __always_inline __u32 read32(const void *p)
{
	return (__u32)read16(p) << 16 | read16(p + 2);
}

/* --- link layers: set ethertype and step over the link header --- */

static __always_inline int decode_ethernet(struct cursor *c, struct packet *p)
{
	__u8 *eth = header(c, 0, 14);

	if (!eth)
		return STATUS_LINK_TRUNCATED;
	__builtin_memcpy(p->mac[1], eth, 6);
	__builtin_memcpy(p->mac[0], eth + 6, 6);
	c->w->ethertype = read16(eth + 12);
	c->w->off += 14;
	return STATUS_OK;
}

/* Raw IP: the version nibble says which. */
static __always_inline int decode_raw(struct cursor *c)
{
	__u8 *ip = header(c, 0, 1);

	if (!ip)
		return STATUS_LINK_TRUNCATED;
	if (*ip >> 4 == 4)
		c->w->ethertype = ETHERTYPE_IPV4;
	else if (*ip >> 4 == 6)
		c->w->ethertype = ETHERTYPE_IPV6;
	else
		return STATUS_NOT_IP;
	return STATUS_OK;
}

/* BSD loopback: an address family in the byte order of whoever captured. The
 * families of IPv6 are those of the BSDs, macOS and Linux. */
static __always_inline int decode_null(struct cursor *c)
{
	__u8 *h = header(c, 0, 4);
	__u32 family;

	if (!h)
		return STATUS_LINK_TRUNCATED;
	family = read32(h);
	if (family > 0xffff)
		family = family >> 24 | (family >> 8 & 0xff00);
	c->w->off += 4;
	if (family == 2)
		c->w->ethertype = ETHERTYPE_IPV4;
	else if (family == 10 || family == 24 || family == 28 || family == 30)
		c->w->ethertype = ETHERTYPE_IPV6;
	else
		return STATUS_NOT_IP;
	return STATUS_OK;
}

static __always_inline int decode_cooked(struct cursor *c, __u32 size, __u32 at)
{
	__u8 *h = header(c, 0, size);

	if (!h)
		return STATUS_LINK_TRUNCATED;
	c->w->ethertype = read16(h + at);
	c->w->off += size;
	return STATUS_OK;
}

/* PPP protocol number → Ethertype, 0 if it does not carry IP. */
static __always_inline __u16 ppp_ethertype(__u16 protocol)
{
	switch (protocol) {
	case 0x0021:
		return ETHERTYPE_IPV4;
	case 0x0057:
		return ETHERTYPE_IPV6;
	case 0x0281:
	case 0x0283:
		return ETHERTYPE_MPLS;
	}
	return 0;
}

/* PPP with or without address and control octets (RFC 1662), or Cisco HDLC,
 * which capture files mix under each other's link type. */
static __always_inline int decode_ppp(struct cursor *c)
{
	__u8 *h = header(c, 0, 4);

	if (!h)
		return STATUS_LINK_TRUNCATED;
	if (h[0] == 0x0f || h[0] == 0x8f) {
		c->w->ethertype = read16(h + 2);
		c->w->off += 4;
		if (c->w->ethertype < ETHERTYPE_MIN)
			c->w->ethertype = 0;
	} else if (h[0] == 0xff && h[1] == 0x03) {
		c->w->ethertype = ppp_ethertype(read16(h + 2));
		c->w->off += 4;
	} else {
		c->w->ethertype = ppp_ethertype(read16(h));
		c->w->off += 2;
	}
	return c->w->ethertype ? STATUS_OK : STATUS_NOT_IP;
}

static __always_inline int decode_link(struct cursor *c, __u32 link_type, struct packet *p)
{
	switch (link_type) {
	case LINK_ETHERNET:
		return decode_ethernet(c, p);
	case LINK_RAW:
	case LINK_RAW_BSD:
		return decode_raw(c);
	case LINK_IPV4:
		c->w->ethertype = ETHERTYPE_IPV4;
		return STATUS_OK;
	case LINK_IPV6:
		c->w->ethertype = ETHERTYPE_IPV6;
		return STATUS_OK;
	case LINK_NULL:
	case LINK_LOOP:
		return decode_null(c);
	case LINK_SLL:
		return decode_cooked(c, 16, 14);
	case LINK_SLL2:
		return decode_cooked(c, 20, 0);
	case LINK_PPP:
	case LINK_PPP_SERIAL:
	case LINK_C_HDLC:
		return decode_ppp(c);
	}
	return STATUS_LINK_TYPE;
}

/* --- between link and network: tags, labels, sessions --- */

static __always_inline int is_vlan(__u16 ethertype)
{
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ ||
	       ethertype == ETHERTYPE_QINQ_OLD;
}

/* The first tag is the outermost; every further one becomes the innermost. */
static __always_inline int decode_vlans(struct cursor *c, struct packet *p)
{
	for (int i = 0; i <= VLAN_TAGS_MAX; i++) {
		__u8 *tag;
		__u16 id;

		if (!is_vlan(c->w->ethertype))
			return STATUS_OK;
		if (c->w->tags >= VLAN_TAGS_MAX)
			return STATUS_VLAN_DEPTH;
		tag = header(c, 0, 4);
		if (!tag)
			return STATUS_LINK_TRUNCATED;
		id = read16(tag) & 0xfff;
		if (c->w->tags == 1)
			p->key.vlan_outer_id = p->key.vlan_id;
		p->key.vlan_id = id;
		c->w->tags++;
		c->w->ethertype = read16(tag + 2);
		c->w->off += 4;
		forget(c);
	}
	return STATUS_VLAN_DEPTH;
}

/* Labels to the bottom of the stack, then IP by its version nibble. */
static __always_inline int decode_mpls(struct cursor *c)
{
	for (int i = 0; i < MPLS_LABELS_MAX; i++) {
		__u8 *label = header(c, 0, 4);

		if (!label)
			return STATUS_LINK_TRUNCATED;
		c->w->off += 4;
		forget(c);
		if (label[2] & 1)
			return decode_raw(c);
	}
	return STATUS_MPLS_DEPTH;
}

static __always_inline int decode_pppoe(struct cursor *c)
{
	__u8 *h = header(c, 0, 8);

	if (!h)
		return STATUS_LINK_TRUNCATED;
	c->w->ethertype = ppp_ethertype(read16(h + 6));
	c->w->off += 8;
	return c->w->ethertype ? STATUS_OK : STATUS_NOT_IP;
}

/* 802.3: only SNAP says what it carries. */
static __always_inline int decode_llc(struct cursor *c)
{
	__u8 *h = header(c, 0, 8);

	if (!h)
		return STATUS_LLC;
	if (h[0] != 0xaa && h[1] != 0xaa)
		return STATUS_LLC;
	c->w->ethertype = read16(h + 6);
	c->w->off += 8;
	return c->w->ethertype < ETHERTYPE_MIN ? STATUS_LLC : STATUS_OK;
}

/* From the link header to an IP header at the cursor. */
static __always_inline int decode_shims(struct cursor *c, struct packet *p)
{
	int status;

	if (c->w->ethertype == ETHERTYPE_IPV4 || c->w->ethertype == ETHERTYPE_IPV6)
		return STATUS_OK;
	status = decode_vlans(c, p);
	if (status != STATUS_OK)
		return status;
	if (c->w->ethertype <= ETHERNET_LENGTH_MAX) {
		status = decode_llc(c);
		if (status != STATUS_OK)
			return status;
	}
	if (c->w->ethertype == ETHERTYPE_PPPOE) {
		status = decode_pppoe(c);
		if (status != STATUS_OK)
			return status;
	}
	if (c->w->ethertype == ETHERTYPE_MPLS || c->w->ethertype == ETHERTYPE_MPLS_MULTICAST) {
		status = decode_mpls(c);
		if (status != STATUS_OK)
			return status;
	}
	forget(c);
	if (c->w->ethertype == ETHERTYPE_IPV4 || c->w->ethertype == ETHERTYPE_IPV6)
		return STATUS_OK;
	return c->w->ethertype == ETHERTYPE_ARP ? STATUS_ARP : STATUS_NOT_IP;
}

/* --- network layer: leaves the cursor behind the IP headers --- */

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
	if (!header(c, size - 1, 1))
		return STATUS_IP_TRUNCATED;
	c->w->n.octets = total;
	c->w->n.l4_octets = total - size;
	c->w->n.fragment = (read16(ip + 6) & 0x1fff) != 0;
	c->w->n.protocol = ip[9];
	c->w->n.version = 4;
	c->w->n.src.word[0] = *(__u32 *)(ip + 12);
	c->w->n.src.word[1] = 0;
	c->w->n.dst.word[0] = *(__u32 *)(ip + 16);
	c->w->n.dst.word[1] = 0;
	c->w->off += size;
	return STATUS_OK;
}

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == EXTENSION_HOP_BY_HOP || protocol == EXTENSION_ROUTING ||
	       protocol == EXTENSION_FRAGMENT || protocol == EXTENSION_DESTINATION ||
	       protocol == EXTENSION_MOBILITY;
}

/* One walk along a chain of headers; the callback of a loop, so that the
 * verifier looks at it once. Returns 1 at the end of the chain. */
struct chain {
	struct cursor *c;
	int status;
};

/* A fragment header with an offset ends the chain: what follows is the middle
 * of a packet. */
static long extension_step(__u32 i, struct chain *chain)
{
	struct cursor *c = chain->c;
	__u32 size;
	__u8 *ext;

	if (!is_extension(c->w->n.protocol) || c->w->n.fragment)
		return 1;
	ext = header(c, 0, 8);
	if (!ext) {
		chain->status = STATUS_IP_TRUNCATED;
		return 1;
	}
	size = c->w->n.protocol == EXTENSION_FRAGMENT ? 8 : (ext[1] + 1) * 8;
	if (c->w->n.protocol == EXTENSION_FRAGMENT)
		c->w->n.fragment = (read16(ext + 2) & 0xfff8) != 0;
	if (size > c->w->n.l4_octets) {
		chain->status = STATUS_IP_MALFORMED;
		return 1;
	}
	c->w->n.protocol = ext[0];
	c->w->n.l4_octets -= size;
	c->w->off += size;
	forget(c);
	return 0;
}

static __always_inline int decode_extensions(struct cursor *c)
{
	struct chain chain = { .c = c };

	bpf_loop(EXTENSIONS_MAX, extension_step, &chain, 0);
	if (chain.status != STATUS_OK)
		return chain.status;
	if (c->w->n.fragment)
		return STATUS_OK;
	return is_extension(c->w->n.protocol) ? STATUS_EXTENSION_DEPTH : STATUS_OK;
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
	__builtin_memcpy(&c->w->n.src.word[0], ip + 8, 8);
	__builtin_memcpy(&c->w->n.src.word[1], ip + 16, 8);
	__builtin_memcpy(&c->w->n.dst.word[0], ip + 24, 8);
	__builtin_memcpy(&c->w->n.dst.word[1], ip + 32, 8);
	c->w->off += 40;
	return STATUS_OK;
}

static __always_inline int decode_ip(struct cursor *c, struct packet *p)
{
	p->l3_offset = c->w->off;
	return c->w->ethertype == ETHERTYPE_IPV4 ? decode_ipv4(c) : decode_ipv6(c);
}

/* --- tunnels: on success the cursor stands at the inner frame or packet --- */

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

/* The same for an inner Ethernet frame, with tags or without. */
static __always_inline int peek_ethernet(const struct cursor *c, __u32 skip)
{
	__u8 *eth = header(c, skip, 14);
	__u16 type;

	if (!eth)
		return 0;
	type = read16(eth + 12);
	return is_vlan(type) || peek_ip(c, skip + 14, type);
}

/* Enters what a tunnel header says that it carries; 0 if that is not there. */
static __always_inline int tunnel_enter(struct cursor *c, struct packet *p, __u32 size,
					__u16 ethertype, __u8 kind, __u32 key)
{
	if (ethertype == ETHERTYPE_TEB) {
		if (!peek_ethernet(c, size))
			return 0;
	} else if (!peek_ip(c, size, ethertype)) {
		return 0;
	}
	c->w->off += size;
	c->w->ethertype = ethertype;
	if (kind != TUNNEL_NONE && p->key.tunnel_id == TUNNEL_NONE) {
		p->key.tunnel_id = kind;
		p->key.tunnel_key = key;
	}
	return 1;
}

/* GRE version 0 (RFC 2784, 2890): checksum, key and sequence are optional. */
static __always_inline int tunnel_gre(struct cursor *c, struct packet *p)
{
	__u8 *gre = header(c, 0, 4);
	__u32 size = 4, key = 0;
	__u8 *field;

	if (!gre || gre[1] & 7 || gre[0] & 0x40)
		return 0;
	if (gre[0] & 0x80)
		size += 4;
	if (gre[0] & 0x20) {
		field = header(c, size, 4);
		if (!field)
			return 0;
		key = read32(field);
		size += 4;
	}
	if (gre[0] & 0x10)
		size += 4;
	return tunnel_enter(c, p, size, read16(gre + 2), TUNNEL_GRE, key);
}

/* VXLAN (RFC 7348) behind its UDP header. */
static __always_inline int tunnel_vxlan(struct cursor *c, struct packet *p)
{
	__u8 *h = header(c, 8, 8);

	if (!h || !(h[0] & 0x08))
		return 0;
	return tunnel_enter(c, p, 16, ETHERTYPE_TEB, TUNNEL_VXLAN, read32(h + 4) >> 8);
}

/* Geneve (RFC 8926) behind its UDP header; options in units of 4 octets. */
static __always_inline int tunnel_geneve(struct cursor *c, struct packet *p)
{
	__u8 *h = header(c, 8, 8);

	if (!h || h[0] >> 6)
		return 0;
	return tunnel_enter(c, p, 16 + (h[0] & 0x3f) * 4, read16(h + 2), TUNNEL_GENEVE,
			    read32(h + 4) >> 8);
}

/* Along GTP-U's extension headers: size is how far, next what comes. */
struct gtpu_chain {
	struct cursor *c;
	__u32 size;
	__u8 next;
};

static long gtpu_extension_step(__u32 i, struct gtpu_chain *chain)
{
	__u8 *field = header(chain->c, chain->size, 1);
	__u32 length;

	if (!chain->next || !field)
		return 1;
	length = *field * 4;
	field = header(chain->c, chain->size + length - 1, 1);
	if (!length || !field)
		return 1;
	chain->next = *field;
	chain->size += length + unknown_zero;
	return 0;
}

/* GTP-U (3GPP TS 29.281) behind its UDP header: T-PDUs of version 1; up to
 * EXTENSIONS_MAX extension headers in units of 4 octets. */
static __always_inline int tunnel_gtpu(struct cursor *c, struct packet *p)
{
	struct gtpu_chain chain = { .c = c, .size = 16 };
	__u8 *h = header(c, 8, 8);
	__u8 *field;
	__u32 teid;

	if (!h || h[0] >> 5 != 1 || !(h[0] & 0x10) || h[1] != 0xff)
		return 0;
	teid = read32(h + 4);
	if (h[0] & 7) {
		field = header(c, chain.size, 4);
		if (!field)
			return 0;
		if (h[0] & 4)
			chain.next = field[3];
		chain.size += 4;
	}
	if (chain.next)
		bpf_loop(EXTENSIONS_MAX, gtpu_extension_step, &chain, 0);
	field = header(c, chain.size, 1);
	if (chain.next || !field)
		return 0;
	return tunnel_enter(c, p, chain.size,
			    *field >> 4 == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6, TUNNEL_GTP,
			    teid);
}

static __always_inline int is_tunnel_port(__u16 port)
{
	return port == PORT_VXLAN || port == PORT_GENEVE || port == PORT_GTPU;
}

static __always_inline int tunnel_udp(struct cursor *c, struct packet *p)
{
	__u8 *udp = header(c, 0, 8);
	__u16 src, dst;

	if (!udp || c->w->n.l4_octets < 8)
		return 0;
	src = read16(udp);
	dst = read16(udp + 2);
	if (dst == PORT_VXLAN)
		return tunnel_vxlan(c, p);
	if (dst == PORT_GENEVE)
		return tunnel_geneve(c, p);
	if (dst == PORT_GTPU || src == PORT_GTPU)
		return tunnel_gtpu(c, p);
	return 0;
}

/* Whether the packet carries another that is to be metered instead. IP in IP
 * always is, and is no tunnel by nfstream's count. */
static __always_inline int decode_tunnel(struct cursor *c, struct packet *p)
{
	if (c->w->n.fragment)
		return 0;
	switch (c->w->n.protocol) {
	case PROTOCOL_IPIP:
		return tunnel_enter(c, p, 0, ETHERTYPE_IPV4, TUNNEL_NONE, 0);
	case PROTOCOL_IPV6:
		return tunnel_enter(c, p, 0, ETHERTYPE_IPV6, TUNNEL_NONE, 0);
	case PROTOCOL_GRE:
		return c->w->decode_tunnels && tunnel_gre(c, p);
	case PROTOCOL_UDP:
		return c->w->decode_tunnels && tunnel_udp(c, p);
	}
	return 0;
}

/* --- transport layer --- */

static __always_inline int decode_tcp(struct cursor *c, struct packet *p)
{
	__u8 *tcp = header(c, 0, 20);
	__u32 size;

	if (!tcp)
		return STATUS_TRANSPORT_TRUNCATED;
	c->w->n.src.port = read16(tcp);
	c->w->n.dst.port = read16(tcp + 2);
	p->tcp_flags = tcp[13];
	size = (tcp[12] >> 4) * 4;
	p->payload_octets = c->w->n.l4_octets > size ? c->w->n.l4_octets - size : 0;
	return STATUS_OK;
}

/* Ports in the first 4 of size octets. */
static __always_inline int decode_ports(struct cursor *c, __u32 size)
{
	__u8 *h = header(c, 0, size);

	if (!h)
		return STATUS_TRANSPORT_TRUNCATED;
	c->w->n.src.port = read16(h);
	c->w->n.dst.port = read16(h + 2);
	return STATUS_OK;
}

static __always_inline int decode_icmp(struct cursor *c, struct packet *p)
{
	__u8 *icmp = header(c, 0, 8);

	if (!icmp)
		return STATUS_TRANSPORT_TRUNCATED;
	p->icmp_type = icmp[0];
	p->icmp_code = icmp[1];
	p->payload_octets = c->w->n.l4_octets - 8;
	return STATUS_OK;
}

/* A packet too short for its transport header by its own word, and a later
 * fragment, are metered under ports 0. */
static __always_inline int decode_transport(struct cursor *c, struct packet *p)
{
	c->w->n.src.port = 0;
	c->w->n.dst.port = 0;
	p->payload_octets = c->w->n.l4_octets;
	if (c->w->n.fragment)
		return STATUS_OK;
	switch (c->w->n.protocol) {
	case PROTOCOL_TCP:
		p->payload_octets = 0;
		return c->w->n.l4_octets < 20 ? STATUS_OK : decode_tcp(c, p);
	case PROTOCOL_UDP:
		p->payload_octets = c->w->n.l4_octets < 8 ? 0 : c->w->n.l4_octets - 8;
		return c->w->n.l4_octets < 8 ? STATUS_OK : decode_ports(c, 8);
	case PROTOCOL_UDPLITE:
		return c->w->n.l4_octets < 8 ? STATUS_OK : decode_ports(c, 8);
	case PROTOCOL_SCTP:
	case PROTOCOL_DCCP:
		return c->w->n.l4_octets < 12 ? STATUS_OK : decode_ports(c, 12);
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6:
		p->payload_octets = 0;
		return c->w->n.l4_octets < 8 ? STATUS_OK : decode_icmp(c, p);
	}
	return STATUS_OK;
}

/* --- what only the optional statistics want --- */

/* A walk along TCP's options; the callback of a loop. */
struct tcp_options {
	struct cursor *c;
	__u32 skip; /* from the TCP header to the next option */
	__u32 size; /* of the header, as it claims */
	__u16 mss;
};

static long tcp_option_step(__u32 i, struct tcp_options *o)
{
	__u8 *option;

	if (o->skip >= o->size)
		return 1;
	option = header(o->c, o->skip, 1);
	if (!option || option[0] == TCP_OPTION_END)
		return 1;
	if (option[0] == TCP_OPTION_NOP) {
		o->skip += 1 + unknown_zero;
		return 0;
	}
	option = header(o->c, o->skip, 2);
	if (!option || option[1] < 2)
		return 1;
	if (option[0] == TCP_OPTION_MSS && option[1] == 4) {
		option = header(o->c, o->skip, 4);
		if (option)
			o->mss = read16(option + 2);
		return 1;
	}
	o->skip += option[1] + unknown_zero;
	return 0;
}

/* The cursor stands at a whole TCP header. */
static __always_inline void decode_tcp_statistics(struct cursor *c, struct packet *p)
{
	struct tcp_options options = { .c = c, .skip = 20 };
	__u8 *tcp = header(c, 0, 20);

	if (!tcp)
		return;
	p->tcp_seq = read32(tcp + 4);
	p->tcp_window = read16(tcp + 14);
	options.size = (tcp[12] >> 4) * 4;
	if (!(p->tcp_flags & TCP_SYN) || options.size <= 20)
		return;
	bpf_loop(TCP_OPTIONS_MAX, tcp_option_step, &options, 0);
	p->tcp_mss = options.mss;
}

static __always_inline void decode_ip_statistics(const struct cursor *c, struct packet *p)
{
	__u8 *ip;

	if (p->l3_offset > HEADERS_MAX)
		return;
	ip = c->data + p->l3_offset;
	if ((void *)(ip + 20) > c->end)
		return;
	if (c->w->n.version == 4) {
		p->tos = ip[1];
		p->ttl = ip[8];
	} else {
		p->tos = read16(ip) >> 4;
		p->ttl = ip[7];
	}
}

/* --- the whole --- */

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

/* --- what lies deeper: extension headers and tunnels --- */

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

/* One step down; a loop's callback. */
struct descent {
	struct cursor c;
	struct packet *p;
	int status;
	int done;
};

/* Behind an IP header: its extensions, then the next IP header if there is a
 * tunnel. Returns 1 when there is no further down to go. */
static long descend(__u32 level, struct descent *d)
{
	struct cursor *c = &d->c;

	d->done = 1;
	if (c->w->n.version == 6)
		d->status = decode_extensions(c);
	if (d->status != STATUS_OK || !decode_tunnel(c, d->p))
		return 1;
	if (c->w->ethertype == ETHERTYPE_TEB)
		d->status = decode_ethernet(c, d->p);
	if (d->status == STATUS_OK)
		d->status = decode_shims(c, d->p);
	if (d->status == STATUS_OK)
		d->status = decode_ip(c, d->p);
	if (d->status != STATUS_OK)
		return 1;
	d->done = 0;
	return 0;
}

/* Down to the last IP header. The last level is there to see that it holds no
 * further tunnel. */
static __always_inline int decode_deep(void *data, void *end, struct walk *w, struct packet *p)
{
	struct descent d = { .c = { .data = data, .end = end, .w = w }, .p = p };

	bpf_loop(TUNNEL_LEVELS_MAX + 1, descend, &d, 0);
	if (d.status != STATUS_OK)
		return d.status;
	return d.done ? STATUS_OK : STATUS_TUNNEL_DEPTH;
}

/* Global functions are verified once, on their own, whatever state their
 * callers are in; without this cut every path to a tunnel would be multiplied
 * by every path through it. */
__noinline int decode_deep_xdp(struct xdp_md *ctx, struct walk *w, struct packet *p)
{
	if (!w || !p)
		return STATUS_LINK_TRUNCATED;
	return decode_deep((void *)(long)ctx->data, (void *)(long)ctx->data_end, w, p);
}

__noinline int decode_deep_skb(struct __sk_buff *ctx, struct walk *w, struct packet *p)
{
	if (!w || !p)
		return STATUS_LINK_TRUNCATED;
	return decode_deep((void *)(long)ctx->data, (void *)(long)ctx->data_end, w, p);
}

/* From the link layer to the IP headers of the packet to be metered, through at
 * most TUNNEL_LEVELS_MAX tunnels. */
static __always_inline int decode_network(void *ctx, int is_xdp, struct cursor *c,
					  __u32 link_type, struct packet *p)
{
	int status = decode_link(c, link_type, p);

	if (status == STATUS_OK)
		status = decode_shims(c, p);
	if (status == STATUS_OK)
		status = decode_ip(c, p);
	if (status != STATUS_OK || !is_deep(c))
		return status;
	return is_xdp ? decode_deep_xdp(ctx, c->w, p) : decode_deep_skb(ctx, c->w, p);
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
 * the caller has zeroed. tags is 1 if the interface took the outermost VLAN tag
 * out of the frame; p->key.vlan_id has it then. Sets everything but time_ns. */
static __always_inline int decode_frame(void *ctx, int is_xdp, void *data, void *end, __u8 tags,
					struct decode_options o, struct packet *p)
{
	struct walk w = {
		.frame_octets = p->frame_octets - tags * VLAN_TAG_OCTETS,
		.tags = tags,
		.decode_tunnels = o.decode_tunnels,
	};
	struct cursor c = { .data = data, .end = end, .w = &w };
	int status = decode_network(ctx, is_xdp, &c, o.link_type, p);

	if (status == STATUS_OK)
		status = decode_transport(&c, p);
	if (status != STATUS_OK)
		return status;
	if (o.tcp_statistics && p->tcp_flags)
		decode_tcp_statistics(&c, p);
	if (o.ip_statistics)
		decode_ip_statistics(&c, p);
	p->fragment = w.n.fragment;
	p->octets = accounted_octets(p, &w.n, o.accounting);
	p->key.protocol = w.n.protocol;
	p->key.ip_version = w.n.version;
	p->key.point = o.point;
	key_canonical(p, &w.n.src, &w.n.dst);
	return STATUS_OK;
}

#endif /* WEIR_DECODE_H */
