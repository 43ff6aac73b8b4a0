/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The work in a map, and its stages out of line. */
#ifndef WEIR_WORK_OF_CPU_H
#define WEIR_WORK_OF_CPU_H

/* The frame that the CPU is at. Writer and reader: the packet programs, each CPU
 * its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} works SEC(".maps");

static __always_inline struct work *work_of_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&works, &zero);
}

static __always_inline struct work *work_begun(void)
{
	struct work *w = work_of_cpu();

	if (w)
		__builtin_memset(w, 0, sizeof(*w));
	return w;
}

#define WORK(name) struct work *name = work_begun()

__noinline int work_decode_xdp(struct xdp_md *ctx, struct work *w)
{
	return w ? work_decode_inline(ctx, 1, frame_xdp(ctx), w) : STATUS_LINK_TRUNCATED;
}

__noinline int work_decode_skb(struct __sk_buff *ctx, struct work *w)
{
	return w ? work_decode_inline(ctx, 0, frame_skb(ctx), w) : STATUS_LINK_TRUNCATED;
}

static __always_inline int work_decode(void *ctx, int is_xdp, struct frame f, struct work *w)
{
	return is_xdp ? work_decode_xdp(ctx, w) : work_decode_skb(ctx, w);
}

#endif /* WEIR_WORK_OF_CPU_H */
