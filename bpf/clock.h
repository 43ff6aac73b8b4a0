/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One time stamp a packet. */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"

static __always_inline __u64 clock_now(void)
{
	return bpf_ktime_get_ns();
}

/* What a driver, or another XDP program, handed over in front of the frame. */
struct metadata_time {
	__u64 time_ns;
};

struct metadata_length {
	__u64 time_ns;
	__u32 frame_octets;
	__u32 zero;
};

/* The packet's time: from the metadata when configured and there, else now.
 * *frame_octets becomes the original length where the metadata has one. */
static __always_inline __u64 clock_of_frame(struct xdp_md *ctx, __u32 *frame_octets)
{
	struct metadata_length *m = (void *)(long)ctx->data_meta;
	void *data = (void *)(long)ctx->data;

	if (!cfg_metadata_clock || (void *)m + sizeof(struct metadata_time) > data)
		return clock_now();
	if ((void *)(m + 1) <= data)
		*frame_octets = m->frame_octets;
	return m->time_ns;
}

#endif
