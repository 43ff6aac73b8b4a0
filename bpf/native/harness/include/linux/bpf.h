/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The kernel's header, but for the two contexts: theirs hold 32-bit offsets that
 * the verifier turns into pointers, so here they hold pointers. */
#ifndef WEIR_NATIVE_LINUX_BPF_H
#define WEIR_NATIVE_LINUX_BPF_H

#define xdp_md xdp_md_of_the_kernel
#define __sk_buff sk_buff_of_the_kernel
#include_next <linux/bpf.h>
#undef xdp_md
#undef __sk_buff

/* What both contexts stand for: a frame, of which a part is linear. */
struct native_frame {
	const __u8 *octets; /* the whole, for the helpers that copy */
	__u32 length;
	void *linear; /* from data to data_end, a heap object of just that size */
};

struct xdp_md {
	__u64 data;
	__u64 data_end;
	__u64 data_meta;
	struct native_frame frame;
};

struct __sk_buff {
	__u64 data;
	__u64 data_end;
	__u32 len;
	__u32 vlan_present;
	__u32 vlan_tci;
	struct native_frame frame;
};

#endif
