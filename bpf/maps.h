/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map: owner, writer, reader, bound. */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "entry.h"
#include "types.h"

/* The flow table. Plain hash, never LRU: an LRU forgets without a word.
 * Writer: the packet programs and the sweep; user space never. Bound:
 * max_entries, set by the loader from --max-flows; the loader also makes the value
 * as large as the groups that are on. */
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

/* How many entries sweeps have deleted. Writer: the sweep. Reader: the packet programs:
 * a table that has refused an entry is full until it moves. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} deletions SEC(".maps");

/* What the table has refused each CPU. Writer and reader: the packet programs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct refusal);
} refusals SEC(".maps");

/* A zero entry to insert from: too large for the stack. Each CPU its own, as
 * the key is written into it first. As large as the table's values. Untyped: a
 * per-CPU map may not have a lock. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, sizeof(struct flow_entry));
} vacant SEC(".maps");

#endif
