/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The sweep by an iterator over the table. User space reads it in pieces: each read goes
 * on where the one before has ended, and between two entries soft interrupts come
 * through. They may come in the middle of the program, too, and run the packet programs
 * on the same CPU: so it touches nothing that belongs to a CPU, as ledgers do. */
#ifndef WEIR_SWEEP_WALK_H
#define WEIR_SWEEP_WALK_H

#include "sweep.h"

/* An entry is deleted when the walk is this many further on, and has left its bucket: a
 * bucket holds one entry on average. For the walk steps from an entry to its next one,
 * which is in another bucket once the entry has been recycled, and a read that begins
 * within a bucket counts the entries that the one before has seen there. */
#define SWEEP_BEHIND 16

struct sweep_behind {
	struct flow_key key;
	__u64 used;
};

/* Argument and result of a walk, which user space writes before it and reads after it,
 * and what is of the program alone: zero at first. */
struct sweep_walk {
	struct sweep sweep;
	struct sweep_behind behind[SWEEP_BEHIND]; /* keys of entries to be deleted */
};

/* Writer: user space before a walk, the program during it. Reader: both. One walk at a
 * time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweep_walk);
} sweep_state SEC(".maps");

#ifndef FRAME_COPIED

/* The kernel's, as far as they are used: vmlinux.h has them, the headers of user space
 * have not. */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	const struct flow_key *key; /* NULL, like value, behind the last entry */
	const struct flow_entry *value;
};

static __always_inline void sweep_delete_behind(struct sweep_behind *b, struct sweep *s)
{
	if (!b->used)
		return;
	b->used = 0;
	sweep_delete(&b->key, s);
}

/* Returns 1 to stop. The key is in memory of the table's own, which no helper takes. */
static __always_inline int sweep_walk_entry(struct sweep_walk *w, const struct flow_key *key,
					    const struct flow_entry *value)
{
	struct sweep_behind *b = &w->behind[w->sweep.at % SWEEP_BEHIND];
	enum sweep_task task;

	sweep_delete_behind(b, &w->sweep);
	task = sweep_look(value, &w->sweep);
	if (task == SWEEP_LEAVE)
		return 0;
	key_copy(&b->key, key);
	if (task == SWEEP_CLOSE)
		return sweep_close(&b->key, &w->sweep);
	b->used = 1;
	return 0;
}

/* Returns 1 for the walk to end here, and to come to this entry again. */
static __always_inline int sweep_walk(struct bpf_iter__bpf_map_elem *ctx, struct sweep_walk *w)
{
	const struct flow_entry *value = ctx->value;
	const struct flow_key *key = ctx->key;
	const __u8 piece = 0;

	if (!key || !value) {
		LOOP
		for (__u32 i = 0; i < SWEEP_BEHIND; i++)
			sweep_delete_behind(&w->behind[i], &w->sweep);
		w->sweep.more = 0;
		return 0;
	}
	if (sweep_walk_entry(w, key, value))
		return 1;
	/* The kernel ends a read when there is as much output as it asks for. */
	if (++w->sweep.at % cfg_sweep_piece == 0)
		bpf_seq_write(ctx->meta->seq, &piece, sizeof(piece));
	return 0;
}

#endif /* FRAME_COPIED */

#endif
