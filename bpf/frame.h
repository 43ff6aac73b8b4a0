/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How the octets of a frame are read. Where they lie: to add a variable to a
 * pointer into a frame is refused to a process without CAP_PERFMON. For such a
 * process there is a second object, compiled with FRAME_COPIED, which has a helper
 * copy one header at a time. Decoding is one and the same in both. */
#ifndef WEIR_FRAME_H
#define WEIR_FRAME_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Headers are followed within the first octets of a frame only: an XDP program
 * sees the linear part, and a fixed bound is the same in both homes. */
#define HEADERS_MAX 2048
/* One header that is read at once: IPv6's. */
#define HEADER_MAX 40

#ifdef FRAME_COPIED
#include "frame_copied.h"
#else
#include "frame_in_place.h"
#endif

#endif /* WEIR_FRAME_H */
