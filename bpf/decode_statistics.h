/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What only the optional statistics want. */
#ifndef WEIR_DECODE_STATISTICS_H
#define WEIR_DECODE_STATISTICS_H

#include "decode_cursor.h"
#include "tcp.h"
#include "verifier.h"

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
/* A TCP header has room for so many octets of options. */
#define TCP_OPTIONS_MAX 40

/* A walk along TCP's options; the callback of a loop. */
struct tcp_options {
	void *ctx;
	struct walk *w;
	stack_u32 skip; /* from the TCP header to the next option */
	stack_u32 size; /* of the header, as it claims */
	stack_u32 mss;
};

static __always_inline long tcp_option_step(const struct cursor *c, struct tcp_options *o)
{
	__u8 *option;

	if (o->skip >= o->size)
		return 1;
	option = header(c, o->skip, 1);
	if (!option || option[0] == TCP_OPTION_END)
		return 1;
	if (option[0] == TCP_OPTION_NOP) {
		o->skip += 1 + unknown_zero;
		return 0;
	}
	option = header(c, o->skip, 2);
	if (!option || option[1] < 2)
		return 1;
	if (option[0] == TCP_OPTION_MSS && option[1] == 4) {
		option = header(c, o->skip, 4);
		if (option && o->skip + 4 <= o->size)
			o->mss = read16(option + 2);
		return 1;
	}
	o->skip += option[1] + unknown_zero;
	return 0;
}

static long tcp_option_step_xdp(__u32 i, struct tcp_options *o)
{
	struct cursor c = cursor_xdp(o->ctx, o->w);

	return tcp_option_step(&c, o);
}

static long tcp_option_step_skb(__u32 i, struct tcp_options *o)
{
	struct cursor c = cursor_skb(o->ctx, o->w);

	return tcp_option_step(&c, o);
}

/* The cursor stands at a whole TCP header. */
static __always_inline void decode_tcp_statistics(void *ctx, int is_xdp, struct cursor *c,
						  struct packet *p)
{
	struct tcp_options options = { .ctx = ctx, .w = c->w, .skip = 20 };
	__u8 *tcp = header(c, 0, 20);

	if (!tcp)
		return;
	p->tcp_seq = read32(tcp + 4);
	p->tcp_window = read16(tcp + 14);
	options.size = (tcp[12] >> 4) * 4;
	if (!(p->tcp_flags & TCP_SYN) || options.size <= 20)
		return;
	if (is_xdp)
		bpf_loop(TCP_OPTIONS_MAX, tcp_option_step_xdp, &options, 0);
	else
		bpf_loop(TCP_OPTIONS_MAX, tcp_option_step_skb, &options, 0);
	p->tcp_mss = options.mss;
}

static __always_inline void decode_ip_statistics(const struct cursor *c, struct packet *p)
{
	__u8 *ip = frame_at(&c->f, &c->w->room, p->l3_offset, 20);

	if (!ip)
		return;
	if (c->w->n.version == 4) {
		p->tos = ip[1];
		p->ttl = ip[8];
	} else {
		p->tos = read16(ip) >> 4;
		p->ttl = ip[7];
	}
}

#endif /* WEIR_DECODE_STATISTICS_H */
