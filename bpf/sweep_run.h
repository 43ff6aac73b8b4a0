/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The sweep by test-run, of the entries whose keys user space has looked up and handed
 * over. It takes no privilege at all and works wherever weir does. A run holds its CPU,
 * soft interrupts included, for as long as so many keys take; between two runs it is
 * free. See sweep_walk.h for the way that takes half the time where it is there. */
#ifndef WEIR_SWEEP_RUN_H
#define WEIR_SWEEP_RUN_H

#include "sweep.h"

/* A run's answer as it grows, beside the packet. */
struct sweep_run {
	struct sweep sweep;
	struct xdp_md *ctx;
};

/* Whatever has happened since the key was looked up: what is under it now is judged. An
 * entry that is gone needs nothing. Returns 1 to stop: no more keys, or no room. */
static long sweep_key(__u32 i, struct sweep_run *r)
{
	struct sweep *s = &r->sweep;
	const struct flow_entry *value;
	struct flow_key key;

	if (bpf_xdp_load_bytes(r->ctx, offsetof(struct sweep_packet, keys) + i * sizeof(key), &key,
			       sizeof(key)))
		return 1;
	value = bpf_map_lookup_elem(&flows, &key);
	switch (value ? sweep_look(value, s) : SWEEP_LEAVE) {
	case SWEEP_CLOSE:
		if (sweep_close(&key, s))
			return 1;
		break;
	case SWEEP_DELETE:
		sweep_delete(&key, s);
		break;
	default:
		break;
	}
	s->at++;
	return 0;
}

static __always_inline void sweep_run(struct sweep_run *r)
{
	bpf_loop(SWEEP_KEYS, sweep_key, r, 0);
}

#endif
