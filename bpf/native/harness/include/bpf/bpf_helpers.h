/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* In place of libbpf's header: the same names, bound to kernel.c. Where a macro
 * stands for a function, it is there to see a map's definition, or a callback's
 * type, which the function's void pointers would hide. */
#ifndef WEIR_NATIVE_BPF_HELPERS_H
#define WEIR_NATIVE_BPF_HELPERS_H

#include "kernel.h"

#define SEC(name) __attribute__((used))
#undef __always_inline /* the C library's */
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

/* Map definitions hold no values, only types to take the size of. The sizes of
 * key and value get members of their own, whichever way the map gives them. */
#define __uint(name, val) int (*name)[val]
#define __type(name, val)            \
	__typeof__(val) *name; \
	int (*name##_size)[sizeof(val)]

#define NATIVE_NUMBER(map, name) (sizeof(*(map)->name) / sizeof(int))
#define NATIVE_MAP(map)                                                           \
	map_of((map), NATIVE_NUMBER(map, type), NATIVE_NUMBER(map, max_entries),  \
	       NATIVE_NUMBER(map, key_size), NATIVE_NUMBER(map, value_size))
#define NATIVE_RING(map) ring_of((map), NATIVE_NUMBER(map, max_entries))

#define bpf_map_lookup_elem(map, key) map_lookup(NATIVE_MAP(map), key)
#define bpf_map_update_elem(map, key, value, flags) \
	map_update(NATIVE_MAP(map), key, value, flags)
#define bpf_map_delete_elem(map, key) map_delete(NATIVE_MAP(map), key)

#define bpf_ringbuf_reserve(ring, size, flags) ring_reserve(NATIVE_RING(ring), size)
#define bpf_ringbuf_query(ring, what) ring_query(NATIVE_RING(ring), what)
#define bpf_ringbuf_submit(event, flags) ring_give_back(event, 1)
#define bpf_ringbuf_discard(event, flags) ring_give_back(event, 0)

/* The walk goes on where the kernel would wait for the next read. */
#define bpf_seq_write(seq, data, size) (helper_called("bpf_seq_write"), (void)(seq), (void)(data))

#define bpf_spin_lock(lock) lock_take(lock)
#define bpf_spin_unlock(lock) lock_release(lock)
#define bpf_ktime_get_ns() clock_read()
#define bpf_get_smp_processor_id() cpu_id()

#define bpf_xdp_get_buff_len(ctx) frame_length(&(ctx)->frame)
#define bpf_xdp_load_bytes(ctx, offset, to, size) \
	frame_copy(&((struct xdp_md *)(ctx))->frame, offset, to, size)
#define bpf_skb_load_bytes(ctx, offset, to, size) \
	frame_copy(&((struct __sk_buff *)(ctx))->frame, offset, to, size)
#define bpf_skb_pull_data(ctx, size) frame_pull(ctx, size)

/* Callbacks keep their own types, which -fsanitize=function insists on. */
#define bpf_loop(times, callback, context, flags)                             \
	({                                                                    \
		__u32 native_i = 0;                                           \
		helper_called("bpf_loop");                                    \
		while (native_i < (times) && !callback(native_i, context))    \
			native_i++;                                           \
		native_i;                                                     \
	})

#endif
