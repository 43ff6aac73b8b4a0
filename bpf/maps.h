/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map: owner, writer, reader, bound. */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"

enum entry_state {
	ENTRY_VACANT = 0,   /* just inserted: for the packet that did so to open */
	ENTRY_OPEN = 1,     /* holds a flow */
	ENTRY_CLOSED = 2,   /* its flow has been sent; a packet may open another */
	ENTRY_DELETING = 3, /* the sweep is about to delete it: hands off */
	ENTRY_SPLIT = 4,    /* its flow has been sent for the active timeout, by a packet
			     * that is about to open the next part */
};

/* A table entry. While the kernel fills an element that it recycles, without the lock
 * and in an order of its own, the state goes from ENTRY_DELETING to ENTRY_VACANT: a
 * packet that found the entry before it was deleted takes neither for its own. */
struct flow_entry {
	struct bpf_spin_lock lock;
	__u8 samples;  /* samples sent */
	__u8 dpi_done; /* user space wants no more */
	__u8 bare;     /* as in sample_event */
	__u8 pad;
	struct flow_record record;
	__u32 pad2;
	__u32 state; /* enum entry_state */
};

/* The flow table. Plain hash, never LRU: an LRU forgets without a word.
 * Writer: the packet programs and the sweep; user space never. Bound:
 * max_entries, set by the loader from --max-flows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow_entry);
} flows SEC(".maps");

/* Closed records, overflow packets and samples on their way to user space.
 * Writer: all programs. Reader: one consumer. Bound: max_entries octets. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} events SEC(".maps");

/* Counters by observation point. Writer: all programs, each CPU its own.
 * Reader: user space, which adds up the CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct ledger);
} ledgers SEC(".maps");

/* How far user space has come. Writer and reader: one consumer, which finds there
 * what the one before it has done; no program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct consumer_progress);
} progress SEC(".maps");

/* Flow ids given out by each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} flow_ids SEC(".maps");

/* A zero entry to insert from: too large for the stack. Each CPU its own, as
 * the key is written into it first. Untyped: a per-CPU map may not have a lock. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, sizeof(struct flow_entry));
} vacant SEC(".maps");

#endif
