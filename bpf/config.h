/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Read-only knobs, set by the loader before the programs are loaded, so that
 * the verifier removes what is switched off. */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include "types.h"

const volatile __u64 cfg_idle_ns = 120000000000ULL;
const volatile __u64 cfg_active_ns = 1800000000000ULL;
const volatile __u32 cfg_link_type = LINK_ETHERNET;
const volatile __u32 cfg_sample_octets = 16384; /* at most SAMPLE_OCTETS_MAX */
const volatile __u8 cfg_samples = 0;           /* samples per flow; 0 is off */
const volatile __u8 cfg_splt = 0;              /* at most SPLT_MAX; with cfg_at_vectors */
const volatile __u8 cfg_accounting = ACCOUNTING_LINK;
const volatile __u8 cfg_point = 0;
/* Where behind a flow's core each group has its part, in octets; 0: the group is off.
 * The statistics have two. */
const volatile __u32 cfg_at_statistics = 0;
const volatile __u32 cfg_at_flags = 0;
const volatile __u32 cfg_at_tcp = 0;
const volatile __u32 cfg_at_ip = 0;
const volatile __u32 cfg_at_vectors = 0;
/* The core with all parts. */
const volatile __u32 cfg_record_octets = 184;
/* With this group TCP connections end with FIN both ways or RST, and cfg_tcp_grace_ns
 * after that take no more packets. Without it they end by their timeouts only. */
const volatile __u32 cfg_at_end = 0;
const volatile __u64 cfg_tcp_grace_ns = 0;
const volatile __u8 cfg_decode_tunnels = 1;
const volatile __u8 cfg_filter = 0; /* packet_filter() decides */
/* What one read of the sweep's iterator looks at, in a millisecond or so: where the
 * kernel is not preemptible, other processes wait that long. */
const volatile __u32 cfg_sweep_piece = 4096;
/* Time, and optionally the original length, come with the frame as metadata:
 * 8 octets (u64 ns) or 16 (then u32 octets, u32 zero). A frame without
 * metadata is stamped by the kernel's clock. */
const volatile __u8 cfg_metadata_clock = 0;

#endif
