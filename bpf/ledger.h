/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What became of every frame. Count before you can fail. */
#ifndef WEIR_LEDGER_H
#define WEIR_LEDGER_H

#include "config.h"
#include "maps.h"
#include "verifier.h"

/* This CPU's counters of this observation point. Never NULL: the point is
 * within the map's bound; the caller still has to tell the verifier. */
static __always_inline struct ledger *ledger_of_point(void)
{
	__u32 point = cfg_point;

	return bpf_map_lookup_elem(&ledgers, &point);
}

static __always_inline void ledger_ignore(struct ledger *l, __u32 status, __u32 octets)
{
	if (status >= STATUS_COUNT)
		return;
	AT_INDEX(status, STATUS_COUNT, l->ignored_packets[at]++; l->ignored_octets[at] += octets);
}

#endif
