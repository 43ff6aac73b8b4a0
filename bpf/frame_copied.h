/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A frame of which one header at a time is copied. */
#ifndef WEIR_FRAME_COPIED_H
#define WEIR_FRAME_COPIED_H

struct frame {
	void *ctx;
	int is_xdp;
};

/* What is copied of a frame at a time. */
struct frame_room {
	__u8 octets[HEADER_MAX];
};

static __always_inline struct frame frame_xdp(struct xdp_md *ctx)
{
	return (struct frame){ ctx, 1 };
}

static __always_inline struct frame frame_skb(struct __sk_buff *ctx)
{
	return (struct frame){ ctx, 0 };
}

/* The helper reaches all of a frame. */
static __always_inline void frame_bring(struct __sk_buff *ctx, __u32 size)
{
}

/* The size octets at off, or NULL. They are there until the next are asked for. */
static __always_inline void *frame_at(const struct frame *f, struct frame_room *room, __u32 off,
				      __u32 size)
{
	long failed;

	if (off > HEADERS_MAX)
		return NULL;
	if (f->is_xdp)
		failed = bpf_xdp_load_bytes(f->ctx, off, room->octets, size);
	else
		failed = bpf_skb_load_bytes(f->ctx, off, room->octets, size);
	return failed ? NULL : room->octets;
}

/* Replaced by the loader with the user's filter, as in frame_in_place.h. */
static __noinline int packet_filter(void *ctx, __u32 length)
{
	int match = 1;

	asm volatile("" : "+r"(match) : "r"(ctx), "r"(length));
	return match;
}

static __always_inline int frame_matches(const struct frame *f, __u32 length)
{
	return packet_filter(f->ctx, length);
}

#endif /* WEIR_FRAME_COPIED_H */
