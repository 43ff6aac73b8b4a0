/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Link layers: set ethertype and step over the link header. */
#ifndef WEIR_DECODE_LINK_H
#define WEIR_DECODE_LINK_H

#include "decode_cursor.h"
#include "decode_ppp.h"
#include "decode_wifi.h"

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

/* PPP, or Cisco HDLC, which capture files mix under each other's link type. */
static __always_inline int decode_ppp(struct cursor *c)
{
	__u8 *h = header(c, 0, 4);
	__u32 size = 0;

	if (!h)
		return STATUS_LINK_TRUNCATED;
	if (h[0] == 0x0f || h[0] == 0x8f) {
		c->w->ethertype = read16(h + 2);
		size = 4;
		if (c->w->ethertype < ETHERTYPE_MIN)
			c->w->ethertype = 0;
	} else {
		c->w->ethertype = ppp_header(c, &size);
	}
	c->w->off += size;
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
	case LINK_RADIOTAP:
		return decode_radiotap(c, p);
	}
	return STATUS_LINK_TYPE;
}

#endif /* WEIR_DECODE_LINK_H */
