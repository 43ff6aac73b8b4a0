/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The transport layer: ports, flags and the size of the payload. */
#ifndef WEIR_DECODE_TRANSPORT_H
#define WEIR_DECODE_TRANSPORT_H

#include "decode_cursor.h"

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

#endif /* WEIR_DECODE_TRANSPORT_H */
