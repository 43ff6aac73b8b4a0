//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet generator: writes the addresses and ports of one of N flows into a
 * template frame, then hands it to the program under test or to an interface.
 *
 * The flows are visited in rounds, each a permutation of all of them (a step
 * that has no divisor in common with N), so that what was sent is known exactly
 * from the number of packets alone. sequence.go is this file in Go. */
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define STEPS 16
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define CLIENT_NET 0x0a000000 /* 10.0.0.0/8, one address a flow */
#define SERVER_NET 0xc6120000 /* 198.18.0.0/16, 256 servers */
#define SERVER_PORT 443

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 cfg_flows = 1;      /* at most 2^24 */
const volatile __u64 cfg_seed = 0;
const volatile __u32 cfg_steps[STEPS] = { 1 }; /* below cfg_flows, coprime to it */
const volatile __u32 cfg_ifindex = 0;    /* where live frames go */
const volatile __u8 cfg_forward = 0;     /* none are reversed */

/* How far a CPU is, and its ledger. */
struct progress {
	__u64 packets;
	__u64 octets;
	__u64 reversed; /* of the packets */
	__u64 limit;    /* live frames stop at so many packets */
	__u32 round;
	__u32 left;     /* flows left in this round */
	__u32 flow;     /* the next flow */
	__u32 step;
};

/* Writer: the generator, each CPU its own. User space sets limit, reads all. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct progress);
} progresses SEC(".maps");

/* The program under test, in slot 0. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} chained SEC(".maps");

struct ports {
	__be16 src;
	__be16 dst;
};

/* A bijection of 64 bits: the finisher of splitmix64. */
static __always_inline __u64 mix(__u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static __always_inline struct progress *progress_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&progresses, &zero);
}

static __always_inline void round_begin(struct progress *g)
{
	__u64 r = mix(cfg_seed + g->round);

	g->left = cfg_flows;
	g->flow = (__u32)r % cfg_flows;
	g->step = cfg_steps[r >> 32 & (STEPS - 1)];
	g->round++;
}

static __always_inline __u32 flow_next(struct progress *g)
{
	__u32 flow;

	if (!g->left)
		round_begin(g);
	g->left--;
	flow = g->flow;
	g->flow += g->step;
	if (g->flow >= cfg_flows)
		g->flow -= cfg_flows;
	return flow;
}

static __always_inline void ports_write(struct ports *p, __u32 flow, int reverse)
{
	__be16 client = bpf_htons(1024 + (mix(flow) & 0x7fff));

	p->src = reverse ? bpf_htons(SERVER_PORT) : client;
	p->dst = reverse ? client : bpf_htons(SERVER_PORT);
}

/* src and dst are the last words of the addresses. */
static __always_inline void addresses_write(__be32 *src, __be32 *dst, __u32 flow, int reverse)
{
	__be32 client = bpf_htonl(CLIENT_NET | flow);
	__be32 server = bpf_htonl(SERVER_NET | (mix(flow) >> 32 & 0xff));

	*src = reverse ? server : client;
	*dst = reverse ? client : server;
}

/* Checksums are not kept: a meter does not look at them, and a network stack
 * behind the meter drops the frame. Returns 0 if the template does not fit. */
static __always_inline int frame_write(struct xdp_md *ctx, __u32 flow, int reverse)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (data + 14 + 20 + 4 > end)
		return 0;
	if (*(__be16 *)(data + 12) == bpf_htons(ETHERTYPE_IPV4)) {
		addresses_write(data + 26, data + 30, flow, reverse);
		ports_write(data + 34, flow, reverse);
		return 1;
	}
	if (data + 14 + 40 + 4 > end)
		return 0;
	addresses_write(data + 34, data + 50, flow, reverse);
	ports_write(data + 54, flow, reverse);
	return 1;
}

/* A flow's packets alternate in direction; which comes first is up to the flow. */
static __always_inline int reversed(const struct progress *g, __u32 flow)
{
	return !cfg_forward && ((g->round ^ mix(flow) >> 63) & 1);
}

static __always_inline int generate(struct xdp_md *ctx, struct progress *g)
{
	__u32 flow = flow_next(g);
	int reverse = reversed(g, flow);

	if (!frame_write(ctx, flow, reverse))
		return 0;
	g->packets++;
	g->octets += bpf_xdp_get_buff_len(ctx);
	g->reversed += reverse;
	return 1;
}

/* For measurements: the program under test runs on the frame. */
SEC("xdp.frags")
int flowgen_chain(struct xdp_md *ctx)
{
	struct progress *g = progress_here();

	if (!g || !generate(ctx, g))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &chained, 0);
	return XDP_ABORTED;
}

/* For live frames: out of an interface. A run that was interrupted and begun
 * again by the caller sends nothing beyond the limit. */
SEC("xdp.frags")
int flowgen_live(struct xdp_md *ctx)
{
	struct progress *g = progress_here();

	if (!g || g->packets >= g->limit || !generate(ctx, g))
		return XDP_DROP;
	return bpf_redirect(cfg_ifindex, 0);
}

/* The harness alone. */
SEC("xdp.frags")
int flowgen_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}
