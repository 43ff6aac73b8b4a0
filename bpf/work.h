/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a program knows of the frame that it is at, and the stages that the frame
 * goes through. For a process without CAP_PERFMON it is in memory of the CPU's own,
 * of which the verifier does not follow the contents, and the stages are global
 * functions, which it looks at once: in speculation there are many more paths. */
#ifndef WEIR_WORK_H
#define WEIR_WORK_H

#include "decode.h"
#include "table.h"

struct work {
	struct packet p;
	union { /* the stack is short */
		struct walk w;          /* until the packet is decoded */
		struct sample_ticket t; /* from then on */
	};
};

static __always_inline int work_decode_inline(void *ctx, int is_xdp, struct frame f, struct work *w)
{
	struct decode_options options = {
		.link_type = cfg_link_type,
		.accounting = cfg_accounting,
		.decode_tunnels = cfg_decode_tunnels,
		.tcp_statistics = !!cfg_at_tcp,
		.ip_statistics = !!cfg_at_ip,
		.point = cfg_point,
	};

	return decode_frame(ctx, is_xdp, f, options, &w->w, &w->p);
}

#ifdef FRAME_COPIED
#include "work_of_cpu.h"
#else

#define WORK(name)                        \
	struct work name##_on_stack = {}; \
	struct work *name = &name##_on_stack

static __always_inline int work_decode(void *ctx, int is_xdp, struct frame f, struct work *w)
{
	return work_decode_inline(ctx, is_xdp, f, w);
}

#endif

#endif /* WEIR_WORK_H */
