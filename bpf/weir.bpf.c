//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include "config.h"
#include "maps.h"
char LICENSE[] SEC("license") = "Dual BSD/GPL";
#include "exported.h"
SEC("xdp") int weir_xdp(struct xdp_md *ctx) { __u32 z = 0; void *p = bpf_map_lookup_elem(&vacant,&z);
 return p ? XDP_PASS : XDP_PASS; }
