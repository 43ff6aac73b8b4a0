/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A frame where it lies. */
#ifndef WEIR_FRAME_IN_PLACE_H
#define WEIR_FRAME_IN_PLACE_H

struct frame {
	void *data;
	void *end;
};

/* What is copied of a frame at a time. */
struct frame_room {};

static __always_inline struct frame frame_xdp(struct xdp_md *ctx)
{
	return (struct frame){ (void *)(long)ctx->data, (void *)(long)ctx->data_end };
}

static __always_inline struct frame frame_skb(struct __sk_buff *ctx)
{
	return (struct frame){ (void *)(long)ctx->data, (void *)(long)ctx->data_end };
}

/* Makes the first size octets readable, or all there are. A locally made packet
 * has most of itself in page fragments. */
static __always_inline void frame_bring(struct __sk_buff *ctx, __u32 size)
{
	__u32 want = ctx->len < size ? ctx->len : size;

	if ((void *)(long)ctx->data + want > (void *)(long)ctx->data_end)
		bpf_skb_pull_data(ctx, want);
}

/* The size octets at off, or NULL. They are there until the next are asked for. */
static __always_inline void *frame_at(const struct frame *f, struct frame_room *room, __u32 off,
				      __u32 size)
{
	void *p;

	if (off > HEADERS_MAX)
		return NULL;
	p = f->data + off;
	if (p + size > f->end)
		return NULL;
	return p;
}

/* Replaced by the loader with the user's filter, translated; as it stands it
 * matches every frame. The assembly keeps the compiler from knowing that, and
 * from dropping length, the frame's original length. */
static __noinline int packet_filter(void *data, void *data_end, __u32 length)
{
	int match = data <= data_end;

	asm volatile("" : "+r"(match) : "r"(length));
	return match;
}

static __always_inline int frame_matches(const struct frame *f, __u32 length)
{
	return packet_filter(f->data, f->end, length);
}

#endif /* WEIR_FRAME_IN_PLACE_H */
