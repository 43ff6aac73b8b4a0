/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* PPP (RFC 1661, 1662), as a link layer and inside of tunnels. */
#ifndef WEIR_DECODE_PPP_H
#define WEIR_DECODE_PPP_H

#include "decode_cursor.h"

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

/* Steps *skip over address and control octets, which may be left out, and the
 * protocol number, whose first octet may be if it is zero. Returns the
 * Ethertype, or 0 if no IP follows. */
static __always_inline __u16 ppp_header(const struct cursor *c, __u32 *skip)
{
	__u8 *h = header(c, *skip, 4);
	__u32 word;

	if (!h)
		return 0;
	word = read32(h);
	if (word >> 16 == 0xff03) {
		*skip += 2;
		word <<= 16;
	}
	if (word >> 24 & 1) {
		*skip += 1;
		return ppp_ethertype(word >> 24);
	}
	*skip += 2;
	return ppp_ethertype(word >> 16);
}

#endif /* WEIR_DECODE_PPP_H */
