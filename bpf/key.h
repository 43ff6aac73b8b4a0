/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Two endpoints → canonical key and the end that sent the packet. */
#ifndef WEIR_KEY_H
#define WEIR_KEY_H

#include "types.h"

/* One end of a flow, as the packet shows it. The words are the address in
 * memory order, so that their comparison costs no byte swap: the order of the
 * ends has no meaning beyond being the same for both directions. */
struct endpoint {
	__u64 word[2];
	__u16 port;
};

/* Whether a comes after b. */
static __always_inline int endpoint_after(const struct endpoint *a, const struct endpoint *b)
{
	if (a->word[0] != b->word[0])
		return a->word[0] > b->word[0];
	if (a->word[1] != b->word[1])
		return a->word[1] > b->word[1];
	return a->port > b->port;
}

static __always_inline void key_end(struct flow_key *key, int end, const struct endpoint *e)
{
	__builtin_memcpy(&key->addr[end][0], &e->word[0], 8);
	__builtin_memcpy(&key->addr[end][8], &e->word[1], 8);
	key->port[end] = e->port;
}

/* From an end to itself everything is forward: src_end stays 0. */
static __always_inline void key_canonical(struct packet *p, const struct endpoint *src,
					  const struct endpoint *dst)
{
	if (endpoint_after(src, dst)) {
		p->src_end = 1;
		key_end(&p->key, 0, dst);
		key_end(&p->key, 1, src);
		return;
	}
	p->src_end = 0;
	key_end(&p->key, 0, src);
	key_end(&p->key, 1, dst);
}

#endif /* WEIR_KEY_H */
