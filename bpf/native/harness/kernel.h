/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the programs need of a kernel, in plain memory, with its rules asserted:
 * no helper under a lock, no lock twice, every ring record given back once. */
#ifndef WEIR_NATIVE_KERNEL_H
#define WEIR_NATIVE_KERNEL_H

#include <stddef.h>
#include <linux/bpf.h>

/* The programs run one at a time, on CPU 0; what is made to run in between, as
 * another CPU would, is on CPU 1. */
#define NATIVE_CPUS 2

/* A hash or an array. Elements are preallocated and recycled as the kernel's are:
 * a pointer to a deleted one stays valid, and may come to hold another key. */
struct native_map {
	const void *definition;
	__u32 type;
	__u32 max_entries;
	__u32 key_size;
	__u32 value_size;
	__u8 *used;
	__u8 *keys;
	__u8 *values; /* of an array: by CPU, then by index */
	__u32 *buckets; /* of a hash: slot + 1 of each bucket's first */
	__u32 *next;    /* of a hash: slot + 1 of the next in the bucket, or free */
	__u32 free;     /* of a hash: slot + 1 of the first free one */
};

struct native_ring {
	const void *definition;
	__u64 size;
	__u64 used; /* until drained; what was discarded takes room, too */
};

struct native_map *map_of(const void *definition, __u32 type, __u32 max_entries, __u32 key_size,
			  __u32 value_size);
void *map_lookup(struct native_map *map, const void *key);
long map_update(struct native_map *map, const void *key, const void *value, __u64 flags);
long map_delete(struct native_map *map, const void *key);
void *map_key_at(struct native_map *map, __u32 slot);
void *map_value_at(struct native_map *map, __u32 slot);

struct native_ring *ring_of(const void *definition, __u64 size);
void *ring_reserve(struct native_ring *ring, __u64 size);
void ring_give_back(void *event, int submit);
__u64 ring_query(const struct native_ring *ring, __u64 what);

void lock_take(struct bpf_spin_lock *lock);
void lock_release(struct bpf_spin_lock *lock);
__u64 clock_read(void);
__u32 cpu_id(void);

__u32 frame_length(const struct native_frame *frame);
long frame_copy(const struct native_frame *frame, __u32 offset, void *to, __u32 size);
long frame_pull(struct __sk_buff *skb, __u32 size);

/* Asserts that no lock is held, and lets another CPU in if that was asked for. */
void helper_called(const char *name);

/* --- what the test asks for --- */

/* Kinds of fault. Each hits the calls of its kind from the skip-th on, count
 * times. */
enum fault {
	FAULT_LOOKUP,  /* a look-up finds nothing */
	FAULT_EXISTS,  /* an insertion finds the key taken (EEXIST) */
	FAULT_FULL,    /* an insertion finds no room (E2BIG) */
	FAULT_MEMORY,  /* an insertion finds no memory (ENOMEM) */
	FAULT_DELETE,  /* a deletion fails (EBUSY) */
	FAULT_RESERVE, /* the ring has no room */
	FAULT_COPY,    /* the frame cannot be copied, or brought forward */
	FAULT_CPU,     /* another CPU gets in before the helper or the lock */
	FAULT_KINDS,
};

/* How large the hash and the ring are, instead of what their definitions say. */
void kernel_reset(__u32 hash_entries, __u64 ring_octets);
/* Values that are defined to be so large are made that large. */
void kernel_resize(__u32 defined, __u32 made);
void kernel_drained(void);
void kernel_set_clock(__u64 now_ns);
void kernel_set_fault(__u32 kind, __u32 skip, __u32 count);

/* Asserts what holds between two programs. */
void kernel_idle(void);

/* By main.c: takes what has been submitted, and runs as the other CPU. */
void event_submitted(const void *event, __u32 size);
void other_cpu_runs(void);

_Noreturn void violation(const char *what, const char *where);

#endif
