/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* IEEE 802.11 data frames, as a link layer behind radiotap and inside of
 * tunnels. */
#ifndef WEIR_DECODE_WIFI_H
#define WEIR_DECODE_WIFI_H

#include "decode_cursor.h"

/* The first octet of frame control: version 0, type data; the others by bit. */
#define WIFI_TYPE_MASK 0x0f
#define WIFI_DATA 0x08
#define WIFI_NULL 0x40
#define WIFI_QOS 0x80
/* The second octet. */
#define WIFI_BOTH_DS 0x03
#define WIFI_PROTECTED 0x40
#define WIFI_ORDER 0x80
/* Of sequence control, and of QoS control. */
#define WIFI_FRAGMENT_MASK 0x0f
#define WIFI_AMSDU 0x80
/* Up to the sequence control, the last 2; the second and the third address. */
#define WIFI_OCTETS 24
#define WIFI_SEQUENCE 22
#define WIFI_ADDRESSES 10
#define LLC_SNAP_OCTETS 8
#define LLC_SNAP 0xaa

#define RADIOTAP_PRESENT_TSFT 0x01
#define RADIOTAP_PRESENT_FLAGS 0x02
#define RADIOTAP_PRESENT_MORE 0x80
#define RADIOTAP_DATA_PAD 0x20
#define RADIOTAP_BAD_FCS 0x40
/* Words that say what is present: one for each antenna, and one more. */
#define RADIOTAP_WORDS_MAX 8

/* How the headers are laid out, beyond what the frame itself says. */
struct wifi_layout {
	__u8 swapped; /* fields of 16 bits may have their octets swapped */
	__u8 padded;  /* the header is padded to a multiple of 4 octets */
};

/* Steps *skip over LLC and SNAP. */
static __always_inline int llc_snap(const struct cursor *c, __u32 *skip, __u16 *ethertype)
{
	__u8 *h = header(c, *skip, LLC_SNAP_OCTETS);

	if (!h)
		return STATUS_LINK_TRUNCATED;
	if (h[0] != LLC_SNAP || h[1] != LLC_SNAP)
		return STATUS_LLC;
	*ethertype = read16(h + 6);
	*skip += LLC_SNAP_OCTETS;
	return STATUS_OK;
}

/* Steps *skip over the headers of a data frame, LLC and SNAP included. What is
 * encrypted, aggregated, or the middle of a frame does not show its packet. */
static __always_inline int wifi_headers(const struct cursor *c, struct wifi_layout layout,
					__u32 *skip, __u16 *ethertype)
{
	__u8 *h = header(c, *skip, 2);
	__u32 size = WIFI_OCTETS;
	__u8 control, flags, swap = 0;
	__u16 word;

	if (!h)
		return STATUS_LINK_TRUNCATED;
	control = h[0];
	flags = h[1];
	if (layout.swapped && (control & WIFI_TYPE_MASK) != WIFI_DATA) {
		swap = 1;
		control = h[1];
		flags = h[0];
	}
	if ((control & (WIFI_TYPE_MASK | WIFI_NULL)) != WIFI_DATA || flags & WIFI_PROTECTED)
		return STATUS_WIFI;
	h = header(c, *skip, WIFI_OCTETS);
	if (!h)
		return STATUS_LINK_TRUNCATED;
	word = read16(h + WIFI_SEQUENCE);
	if ((swap ? word : word >> 8) & WIFI_FRAGMENT_MASK)
		return STATUS_WIFI;
	if ((flags & WIFI_BOTH_DS) == WIFI_BOTH_DS)
		size += 6;
	if (control & WIFI_QOS) {
		h = header(c, *skip + size, 2);
		if (!h)
			return STATUS_LINK_TRUNCATED;
		word = read16(h);
		if ((swap ? word : word >> 8) & WIFI_AMSDU)
			return STATUS_WIFI;
		size += flags & WIFI_ORDER ? 6 : 2;
	}
	if (layout.padded)
		size = (size + 3) & ~3U;
	*skip += size + unknown_zero;
	return llc_snap(c, skip, ethertype);
}

/* The transmitter as source and the third address as destination, whatever the
 * direction: what nfstream takes them for. skip is to the frame. */
static __always_inline void wifi_macs(const struct cursor *c, __u32 skip, struct packet *p)
{
	__u8 *h = header(c, skip + WIFI_ADDRESSES, 12);

	if (!h)
		return;
	__builtin_memcpy(p->mac[0], h, 6);
	__builtin_memcpy(p->mac[1], h + 6, 6);
}

/* The octet of flags of a radiotap header (radiotap.org), 0 without one: it is
 * behind the words of what is present, and a time of 8 octets, aligned. */
static __always_inline __u8 radiotap_flags(const struct cursor *c, __u32 length)
{
	__u32 at = 8;
	__u8 *h = header(c, 4, 4);
	__u8 first, more;

	if (!h)
		return 0;
	first = h[0];
	more = h[3];
	LOOP
	for (int i = 1; i < RADIOTAP_WORDS_MAX && more & RADIOTAP_PRESENT_MORE; i++) {
		h = header(c, at, 4);
		if (!h)
			return 0;
		more = h[3];
		at += 4 + unknown_zero;
	}
	if (!(first & RADIOTAP_PRESENT_FLAGS) || more & RADIOTAP_PRESENT_MORE)
		return 0;
	if (first & RADIOTAP_PRESENT_TSFT)
		at = ((at + 7) & ~7U) + 8;
	h = header(c, at, 1);
	return h && at < length ? *h : 0;
}

static __always_inline int decode_radiotap(struct cursor *c, struct packet *p)
{
	__u8 *h = header(c, 0, 8);
	struct wifi_layout layout = {};
	__u32 length, skip;
	__u8 flags;
	int status;

	if (!h)
		return STATUS_LINK_TRUNCATED;
	length = h[2] | (__u32)h[3] << 8;
	if (h[0] || length < 8)
		return STATUS_WIFI;
	flags = radiotap_flags(c, length);
	if (flags & RADIOTAP_BAD_FCS)
		return STATUS_WIFI;
	layout.padded = !!(flags & RADIOTAP_DATA_PAD);
	/* unknown: else the compiler spares the check that the verifier wants to see
	 * in wifi_macs() */
	skip = length + unknown_zero;
	status = wifi_headers(c, layout, &skip, &c->w->ethertype);
	if (status != STATUS_OK)
		return status;
	wifi_macs(c, length, p);
	c->w->off += skip;
	return c->w->ethertype < ETHERTYPE_MIN ? STATUS_LLC : STATUS_OK;
}

#endif /* WEIR_DECODE_WIFI_H */
