//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The least that a flow meter can do, to measure weir against: Ethernet, IPv4
 * or IPv6, TCP or UDP; the same canonical key; packets, octets and last seen in
 * a plain hash, without a lock. It is not exact on two CPUs, and is not meant
 * to be. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "../../bpf/types.h"
#include "../../bpf/key.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct count {
	__u64 packets;
	__u64 octets;
	__u64 last_ns;
};

/* As many entries as weir's table has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct count);
} counts SEC(".maps");

static __always_inline int ports(void *l4, void *end, struct endpoint *src, struct endpoint *dst)
{
	__be16 *port = l4;

	if ((void *)(port + 2) > end)
		return 0;
	src->port = bpf_ntohs(port[0]);
	dst->port = bpf_ntohs(port[1]);
	return 1;
}

static __always_inline int parse_ipv4(void *ip, void *end, struct packet *p,
				      struct endpoint *src, struct endpoint *dst)
{
	__u8 *h = ip;

	if (ip + 20 > end)
		return 0;
	src->word[0] = *(__u32 *)(ip + 12);
	dst->word[0] = *(__u32 *)(ip + 16);
	p->key.protocol = h[9];
	p->key.ip_version = 4;
	return ports(ip + (h[0] & 0xf) * 4, end, src, dst);
}

static __always_inline int parse_ipv6(void *ip, void *end, struct packet *p,
				      struct endpoint *src, struct endpoint *dst)
{
	if (ip + 40 > end)
		return 0;
	__builtin_memcpy(src->word, ip + 8, 16);
	__builtin_memcpy(dst->word, ip + 24, 16);
	p->key.protocol = *(__u8 *)(ip + 6);
	p->key.ip_version = 6;
	return ports(ip + 40, end, src, dst);
}

static __always_inline int parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct endpoint src = {}, dst = {};
	int found = 0;

	if (data + 14 > end)
		return 0;
	if (*(__be16 *)(data + 12) == bpf_htons(0x0800))
		found = parse_ipv4(data + 14, end, p, &src, &dst);
	else if (*(__be16 *)(data + 12) == bpf_htons(0x86dd))
		found = parse_ipv6(data + 14, end, p, &src, &dst);
	if (found)
		key_canonical(p, &src, &dst);
	return found;
}

SEC("xdp.frags")
int counter(struct xdp_md *ctx)
{
	struct count first = { .packets = 1 };
	struct packet p = {};
	struct count *c;

	if (!parse(ctx, &p))
		return XDP_PASS;
	first.octets = bpf_xdp_get_buff_len(ctx);
	first.last_ns = bpf_ktime_get_ns();
	c = bpf_map_lookup_elem(&counts, &p.key);
	if (!c) {
		bpf_map_update_elem(&counts, &p.key, &first, BPF_NOEXIST);
		return XDP_PASS;
	}
	c->packets++;
	c->octets += first.octets;
	c->last_ns = first.last_ns;
	return XDP_PASS;
}
