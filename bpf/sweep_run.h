/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The sweep by test-run, which takes no privilege at all and works wherever weir does.
 * A run holds its CPU, soft interrupts included, and cannot begin in the middle of the
 * table: it passes over what runs before it have seen. Where there is a walk (see
 * sweep_walk.h) it is used instead. */
#ifndef WEIR_SWEEP_RUN_H
#define WEIR_SWEEP_RUN_H

#include "sweep.h"

/* Entries keep their order, nobody but a sweep deletes any, and those that are new
 * only make others be seen twice. Where an entry is recycled between its deletion here
 * and the step to the next one, the walk goes on in another bucket: what it leaves out
 * is for the next sweep. */
static long sweep_entry(void *map, struct flow_key *key, struct flow_entry *value,
			struct sweep *s)
{
	__s64 beyond = (__s64)s->at - s->skip;

	/* What the verifier would learn of the counters themselves it would learn
	 * anew at every entry. */
	asm volatile("" : "+r"(beyond));
	if (beyond >= cfg_sweep_entries) {
		s->more = 1;
		return 1;
	}
	s->at++;
	if (beyond < 0)
		return 0;
	switch (sweep_look(value, s)) {
	case SWEEP_CLOSE:
		return sweep_close(key, s);
	case SWEEP_DELETE:
		sweep_delete(key, s);
	default:
		return 0;
	}
}

static __always_inline void sweep_run(struct sweep *s)
{
	bpf_for_each_map_elem(&flows, sweep_entry, s, 0);
	s->skip = s->at - s->deleted;
}

#endif
