/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

#define MAPS_MAX 16

static struct native_map maps[MAPS_MAX];
static struct native_ring the_ring;
static __u32 hash_entries;
static __u64 ring_octets;
static __u32 value_defined, value_made;
static __u32 cpu;
static __u64 now;
static struct bpf_spin_lock *held;
static __u32 reserved; /* ring records not given back yet */

static struct {
	__u32 skip;
	__u32 count;
} faults[FAULT_KINDS];

_Noreturn void violation(const char *what, const char *where)
{
	fprintf(stderr, "violation: %s (%s)\n", what, where);
	abort();
}

/* --- faults and the other CPU --- */

void kernel_set_fault(__u32 kind, __u32 skip, __u32 count)
{
	if (kind >= FAULT_KINDS)
		violation("unknown kind of fault", "kernel_set_fault");
	faults[kind].skip = skip;
	faults[kind].count = count;
}

static int fault_hits(enum fault kind)
{
	if (cpu || !faults[kind].count)
		return 0;
	if (faults[kind].skip) {
		faults[kind].skip--;
		return 0;
	}
	faults[kind].count--;
	return 1;
}

static void other_cpu(void)
{
	if (!fault_hits(FAULT_CPU))
		return;
	cpu = 1;
	other_cpu_runs();
	cpu = 0;
}

void helper_called(const char *name)
{
	if (held)
		violation("a helper is called while a lock is held", name);
	other_cpu();
}

/* --- locks, clock, CPU --- */

void lock_take(struct bpf_spin_lock *lock)
{
	if (held)
		violation("a lock is taken while one is held", "bpf_spin_lock");
	other_cpu();
	if (lock->val)
		violation("the lock was never released", "bpf_spin_lock");
	held = lock;
	lock->val = 1;
}

void lock_release(struct bpf_spin_lock *lock)
{
	if (held != lock)
		violation("a lock is released that is not held", "bpf_spin_unlock");
	held = NULL;
	lock->val = 0;
}

void kernel_set_clock(__u64 now_ns) { now = now_ns; }

__u64 clock_read(void)
{
	helper_called("bpf_ktime_get_ns");
	return now;
}

__u32 cpu_id(void)
{
	helper_called("bpf_get_smp_processor_id");
	return cpu;
}

void kernel_idle(void)
{
	if (held)
		violation("the program ended with a lock held", "");
	if (reserved)
		violation("the program ended with ring records not given back", "");
}

/* --- maps --- */

static void map_free(struct native_map *map)
{
	free(map->used);
	free(map->keys);
	free(map->values);
	free(map->buckets);
	free(map->next);
	memset(map, 0, sizeof(*map));
}

static void *zeroes(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		violation("no memory for a map", "");
	return p;
}

static void map_create(struct native_map *map)
{
	if (map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY) {
		map->values = zeroes((size_t)map->max_entries * NATIVE_CPUS, map->value_size);
		return;
	}
	if (map->type != BPF_MAP_TYPE_HASH && map->type != BPF_MAP_TYPE_LRU_HASH)
		violation("a type of map that the native build does not have", "kernel.c");
	if (hash_entries)
		map->max_entries = hash_entries;
	map->used = zeroes(map->max_entries, 1);
	map->keys = zeroes(map->max_entries, map->key_size);
	map->values = zeroes(map->max_entries, map->value_size);
	map->buckets = zeroes(map->max_entries, sizeof(__u32));
	map->next = zeroes(map->max_entries, sizeof(__u32));
	for (__u32 i = 1; i < map->max_entries; i++)
		map->next[i - 1] = i + 1;
	map->free = 1;
}

struct native_map *map_of(const void *definition, __u32 type, __u32 max_entries, __u32 key_size,
			  __u32 value_size)
{
	for (int i = 0; i < MAPS_MAX; i++) {
		struct native_map *map = &maps[i];

		if (map->definition == definition)
			return map;
		if (map->definition)
			continue;
		map->definition = definition;
		map->type = type;
		map->max_entries = max_entries;
		map->key_size = key_size;
		map->value_size = value_size == value_defined ? value_made : value_size;
		map_create(map);
		return map;
	}
	violation("more maps than MAPS_MAX", "kernel.c");
}

static int is_array(const struct native_map *map) { return !map->used; }

/* Read byte by byte: the sanitizers see a key that is not whole. */
static __u32 *bucket_of(struct native_map *map, const void *key)
{
	const __u8 *k = key;
	__u32 hash = 2166136261u;

	for (__u32 i = 0; i < map->key_size; i++)
		hash = (__u32)((hash ^ k[i]) * 16777619ull);
	return &map->buckets[hash % map->max_entries];
}

void *map_key_at(struct native_map *map, __u32 slot)
{
	if (is_array(map))
		violation("only hashes can be walked", "map_key_at");
	return map->used[slot] ? map->keys + (size_t)slot * map->key_size : NULL;
}

void *map_value_at(struct native_map *map, __u32 slot)
{
	return map->values + (size_t)slot * map->value_size;
}

/* The link to the key's slot, or to the end of its bucket. */
static __u32 *hash_find(struct native_map *map, const void *key)
{
	__u32 *link = bucket_of(map, key);

	while (*link && memcmp(map->keys + (size_t)(*link - 1) * map->key_size, key,
			       map->key_size))
		link = &map->next[*link - 1];
	return link;
}

static void *array_lookup(struct native_map *map, const void *key)
{
	__u32 index;

	memcpy(&index, key, sizeof(index));
	if (index >= map->max_entries)
		return NULL;
	return map_value_at(map, map->type == BPF_MAP_TYPE_PERCPU_ARRAY ?
					 cpu * map->max_entries + index :
					 index);
}

void *map_lookup(struct native_map *map, const void *key)
{
	__u32 slot;

	helper_called("bpf_map_lookup_elem");
	if (fault_hits(FAULT_LOOKUP))
		return NULL;
	if (is_array(map))
		return array_lookup(map, key);
	slot = *hash_find(map, key);
	return slot ? map_value_at(map, slot - 1) : NULL;
}

long map_update(struct native_map *map, const void *key, const void *value, __u64 flags)
{
	__u32 *link, slot;

	helper_called("bpf_map_update_elem");
	if (fault_hits(FAULT_EXISTS))
		return -EEXIST;
	if (fault_hits(FAULT_FULL))
		return -E2BIG;
	if (fault_hits(FAULT_MEMORY))
		return -ENOMEM;
	if (is_array(map) || flags != BPF_NOEXIST)
		violation("an update that the native build does not have", "bpf_map_update_elem");
	link = hash_find(map, key);
	if (*link)
		return -EEXIST;
	if (!map->free)
		return -E2BIG;
	slot = map->free - 1;
	map->free = map->next[slot];
	map->next[slot] = 0;
	map->used[slot] = 1;
	*link = slot + 1;
	memcpy(map->keys + (size_t)slot * map->key_size, key, map->key_size);
	memcpy(map_value_at(map, slot), value, map->value_size);
	return 0;
}

long map_delete(struct native_map *map, const void *key)
{
	__u32 *link, slot;

	helper_called("bpf_map_delete_elem");
	if (fault_hits(FAULT_DELETE))
		return -EBUSY;
	if (is_array(map))
		return -EINVAL;
	link = hash_find(map, key);
	if (!*link)
		return -ENOENT;
	slot = *link - 1;
	*link = map->next[slot];
	map->next[slot] = map->free;
	map->free = slot + 1;
	map->used[slot] = 0;
	return 0;
}

/* --- the ring --- */

#define RING_HEADER 8

/* Each record is a heap object of just its size, so that a write beyond it is
 * seen. */
struct ring_record {
	void *event;
	__u32 size;
	int busy;
};

#define RECORDS_MAX 64

static struct ring_record records[RECORDS_MAX];

struct native_ring *ring_of(const void *definition, __u64 size)
{
	if (the_ring.definition && the_ring.definition != definition)
		violation("a second ring", "kernel.c");
	the_ring.definition = definition;
	the_ring.size = ring_octets ? ring_octets : size;
	return &the_ring;
}

/* What the kernel hands out holds what was there before: nothing is zero unless
 * the program writes it. */
void *ring_reserve(struct native_ring *ring, __u64 size)
{
	__u64 taken = (size + RING_HEADER + 7) / 8 * 8;

	helper_called("bpf_ringbuf_reserve");
	if (fault_hits(FAULT_RESERVE) || ring->used + taken > ring->size)
		return NULL;
	for (int i = 0; i < RECORDS_MAX; i++) {
		if (records[i].busy)
			continue;
		records[i] = (struct ring_record){ malloc(size), size, 1 };
		if (!records[i].event)
			violation("no memory for a ring record", "");
		memset(records[i].event, 0xa5, size);
		ring->used += taken;
		reserved++;
		return records[i].event;
	}
	violation("more ring records reserved than RECORDS_MAX", "bpf_ringbuf_reserve");
}

void ring_give_back(void *event, int submit)
{
	helper_called("bpf_ringbuf_submit or bpf_ringbuf_discard");
	for (int i = 0; i < RECORDS_MAX; i++) {
		if (!records[i].busy || records[i].event != event)
			continue;
		if (submit)
			event_submitted(event, records[i].size);
		free(event);
		records[i].busy = 0;
		reserved--;
		return;
	}
	violation("a ring record is given back that is not reserved", "");
}

__u64 ring_query(const struct native_ring *ring, __u64 what)
{
	helper_called("bpf_ringbuf_query");
	return what == BPF_RB_RING_SIZE ? ring->size : ring->used;
}

void kernel_drained(void) { the_ring.used = 0; }

void kernel_reset(__u32 entries, __u64 octets)
{
	hash_entries = entries;
	ring_octets = octets;
	for (int i = 0; i < MAPS_MAX; i++)
		map_free(&maps[i]);
	memset(&the_ring, 0, sizeof(the_ring));
	memset(faults, 0, sizeof(faults));
}

void kernel_resize(__u32 defined, __u32 made)
{
	value_defined = defined;
	value_made = made;
}

/* --- frames --- */

__u32 frame_length(const struct native_frame *frame)
{
	helper_called("bpf_xdp_get_buff_len");
	return frame->length;
}

long frame_copy(const struct native_frame *frame, __u32 offset, void *to, __u32 size)
{
	helper_called("bpf_xdp_load_bytes or bpf_skb_load_bytes");
	if (fault_hits(FAULT_COPY) || !size)
		return -EFAULT;
	if (offset > frame->length || size > frame->length - offset)
		return -EINVAL;
	memcpy(to, frame->octets + offset, size);
	return 0;
}

/* Pointers into the frame from before are invalid, as in the kernel. */
long frame_pull(struct __sk_buff *skb, __u32 size)
{
	void *linear;

	helper_called("bpf_skb_pull_data");
	if (fault_hits(FAULT_COPY) || size > skb->frame.length)
		return -ENOMEM;
	linear = malloc(size);
	if (!linear)
		violation("no memory for a frame", "");
	memcpy(linear, skb->frame.octets, size);
	free(skb->frame.linear);
	skb->frame.linear = linear;
	skb->data = (__u64)linear;
	skb->data_end = (__u64)linear + size;
	return 0;
}
