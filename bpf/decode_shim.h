/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What may stand between link and network: tags, labels, sessions. */
#ifndef WEIR_DECODE_SHIM_H
#define WEIR_DECODE_SHIM_H

#include "decode_link.h"

#define VLAN_TAGS_MAX 4
#define VLAN_TAG_OCTETS 4
#define MPLS_LABELS_MAX 8

static __always_inline int is_vlan(__u16 ethertype)
{
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ ||
	       ethertype == ETHERTYPE_QINQ_OLD;
}

/* The first tag is the outermost; every further one becomes the innermost. */
static __always_inline int decode_vlans(struct cursor *c, struct packet *p)
{
	LOOP
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
	LOOP
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

#endif /* WEIR_DECODE_SHIM_H */
