/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Finds, opens and closes records. The only file that touches the table.
 *
 * Invariants: an entry's fields are read and written under its lock only; a
 * holder of a pointer that the table has recycled sees another key, ENTRY_DELETING or
 * ENTRY_VACANT under the lock, and starts over; whoever has inserted an entry opens
 * it; a closed entry is one whose record is in the ring buffer, so that it may be
 * reused or deleted at will. */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include "config.h"
#include "maps.h"
#include "record.h"
#include "emit.h"

/* What became of a packet at its entry. */
enum account {
	ACCOUNT_DONE,    /* the record has it */
	ACCOUNT_EXPIRED, /* the old record must be sent first */
	ACCOUNT_STALE,   /* not this packet's entry any more: look it up again */
};

static __always_inline int key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && x[4] == y[4] &&
	       x[5] == y[5];
}

static __always_inline void key_copy(struct flow_key *to, const struct flow_key *from)
{
	const __u64 *x = (const __u64 *)from;
	__u64 *y = (__u64 *)to;

	y[0] = x[0], y[1] = x[1], y[2] = x[2], y[3] = x[3], y[4] = x[4], y[5] = x[5];
}

static __always_inline __u64 next_flow_id(void)
{
	__u32 zero = 0;
	__u64 *id = bpf_map_lookup_elem(&flow_ids, &zero);

	if (!id)
		return 0;
	return (__u64)bpf_get_smp_processor_id() << 48 | ++*id;
}

/* An empty entry with the packet's key, to insert. */
static __always_inline struct flow_entry *table_vacant(const struct flow_key *key)
{
	__u32 zero = 0;
	struct flow_entry *empty = bpf_map_lookup_elem(&vacant, &zero);

	if (empty)
		key_copy(&empty->record.key, key);
	return empty;
}

/* The first packet is sampled whatever it holds, later ones if they have
 * payload; later fragments never. */
static __always_inline void sample_decide(struct flow_entry *e, const struct packet *p,
					  __u64 number, struct sample_ticket *t)
{
	if (!cfg_samples || e->samples >= cfg_samples || e->dpi_done || p->fragment)
		return;
	t->direction = (p->src_end ^ e->record.src_end) & 1;
	if (number && !p->payload_octets) {
		e->bare |= 1 << t->direction;
		return;
	}
	t->take = 1;
	t->number = e->samples++;
	t->flow_id = e->record.flow_id;
	t->part = e->record.part;
	t->bare = e->bare;
	e->bare = 0;
}

/* Under the lock: opens a flow in an entry that holds none any more. */
static __always_inline void entry_open(struct flow_entry *e, const struct packet *p,
				       __u64 flow_id)
{
	record_clear(&e->record);
	if (e->state == ENTRY_SPLIT)
		e->record.part++;
	else
		record_open(&e->record, p, flow_id);
	e->samples = 0;
	e->dpi_done = 0;
	e->bare = 0;
	e->state = ENTRY_OPEN;
}

/* The packet into its record, which it opens if there is none: flow_id is for
 * that, 0 if the entry held one when last looked at. inserted: by this packet. */
static __always_inline int entry_account(struct flow_entry *e, const struct packet *p,
					 __u64 now_us, __u64 flow_id, int inserted,
					 struct ledger *l, struct sample_ticket *t)
{
	int result = ACCOUNT_STALE;

	bpf_spin_lock(&e->lock);
	if (e->state == ENTRY_DELETING || !key_equal(&e->record.key, &p->key))
		goto out;
	if (e->state == ENTRY_VACANT && !inserted)
		goto out;
	if (e->state == ENTRY_OPEN) {
		if (record_expired(&e->record, p) != END_NONE) {
			result = ACCOUNT_EXPIRED;
			goto out;
		}
	} else {
		if (!flow_id)
			goto out;
		entry_open(e, p, flow_id);
	}
	sample_decide(e, p, record_packets(&e->record), t);
	l->regressions += record_update(&e->record, p, now_us);
	result = ACCOUNT_DONE;
out:
	bpf_spin_unlock(&e->lock);
	return result;
}

/* Sends the record of an entry if it has expired for the packet. The ring record is
 * taken before the lock and given back if it was not needed: nothing may be called
 * under the lock. Returns 0 for want of ring space. */
static __always_inline int entry_close(struct flow_entry *e, const struct packet *p)
{
	struct record_event *event = emit_reserve_record();
	__u8 reason = END_NONE;

	if (!event)
		return 0;
	bpf_spin_lock(&e->lock);
	if (e->state == ENTRY_OPEN && key_equal(&e->record.key, &p->key))
		reason = record_expired(&e->record, p);
	if (reason != END_NONE) {
		emit_fill_record(event, &e->record, reason);
		e->state = reason == END_ACTIVE ? ENTRY_SPLIT : ENTRY_CLOSED;
	}
	bpf_spin_unlock(&e->lock);
	if (reason != END_NONE)
		emit_submit(event);
	else
		emit_discard(event);
	return 1;
}

/* To refuse an entry the kernel looks for a free one at every CPU, under locks: most of
 * what a packet of a flood costs. So a CPU that was refused tries again when a sweep has
 * deleted something; and with one packet in so many, should an entry have been free
 * that the kernel did not come by. */
#define TABLE_RETRY 64

/* deletions: one more than there have been. */
static __always_inline int table_known_full(struct refusal *r, __u64 deletions)
{
	return r->deletions == deletions && ++r->untried % TABLE_RETRY;
}

/* Inserts an entry. NULL: the table is full, or the entry has been deleted since. Whatever
 * ends here does so at one place, and the outcome is asked for once: Linux 6.1 follows
 * each way that is left through all that comes behind. */
static __always_inline struct flow_entry *table_insert(const struct flow_key *key,
						       struct ledger *l, int *full,
						       int *inserted)
{
	__u32 zero = 0;
	volatile __u64 *deleted = bpf_map_lookup_elem(&deletions, &zero);
	struct refusal *r = bpf_map_lookup_elem(&refusals, &zero);
	struct flow_entry *empty = table_vacant(key);
	__u64 now;
	int err; /* an int, as Linux before 6.4 does not extend its sign */

	if (!deleted || !r || !empty) /* never */
		goto refused;
	now = *deleted + 1; /* before the try: an entry that is deleted meanwhile counts */
	if (table_known_full(r, now))
		goto refused;
	/* someone else may have been faster (EEXIST): then his is as good */
	err = bpf_map_update_elem(&flows, key, empty, BPF_NOEXIST);
	if (err == -E2BIG || err == -ENOMEM) {
		r->deletions = now;
		goto refused;
	}
	r->deletions = 0;
	*inserted = !err;
	return bpf_map_lookup_elem(&flows, key);
refused:
	l->table_full++;
	*full = 1;
	return NULL;
}

/* The entry of the key, inserted if there is none. NULL: as above. */
static __always_inline struct flow_entry *table_find(const struct flow_key *key,
						     struct ledger *l, int *full,
						     int *inserted)
{
	struct flow_entry *e = bpf_map_lookup_elem(&flows, key);

	return e ? e : table_insert(key, l, full, inserted);
}

/* A record that has expired takes two. The entry may be deleted under our feet
 * once; that it happens again before the next look-up has returned takes another
 * packet of the same flow on another CPU and a sweep in between. */
#define TABLE_TRIES 4

/* A copy of the packet's key to look up: Linux 6.1 reads keys from the stack and from
 * map values, and not from what a global function is given. Without CAP_PERFMON the
 * kernel puts a barrier behind each word that is written to the stack, so that the
 * empty entry's place for the key is faster. */
#ifdef FRAME_COPIED
#define KEY_COPY(name, from)                                         \
	struct flow_entry *name##_entry = table_vacant(from);        \
	const struct flow_key *name = name##_entry ? &name##_entry->record.key : NULL
#else
#define KEY_COPY(name, from)                                         \
	struct flow_key name##_on_stack __attribute__((aligned(8)));     \
	const struct flow_key *name = &name##_on_stack;                  \
	key_copy(&name##_on_stack, from)
#endif

/* One try to account a packet whatever state its entry is in: 1, or 0: no place, or
 * -1: again. */
LOOP_BODY int table_try(const struct packet *p, struct ledger *l, struct sample_ticket *t, int last)
{
	struct flow_entry *e;
	int full = 0, inserted = 0, result;

	if (!p || !l || !t)
		return 0;
	KEY_COPY(key, &p->key);
	if (!key)
		return -1;
	e = table_find(key, l, &full, &inserted);
	if (full)
		return 0;
	if (!e)
		return -1;
	result = entry_account(e, p, record_us(p),
			       e->state == ENTRY_OPEN ? 0 : next_flow_id(), inserted, l, t);
	if (result == ACCOUNT_DONE)
		return 1;
	/* never in the last try: who has split a record opens the next part */
	if (result == ACCOUNT_EXPIRED && !last && !entry_close(e, p)) {
		l->expiry_deferred++;
		return 0;
	}
	return -1;
}

/* Accounts a packet, or says 0: no place. A global function: the verifier looks at it
 * once and not for every way to get here. */
__noinline int table_account(const struct packet *p, struct ledger *l, struct sample_ticket *t)
{
	if (!p || !l || !t)
		return 0;
	LOOP
	for (int i = 0; i < TABLE_TRIES; i++) {
		int accounted = table_try(p, l, t, i == TABLE_TRIES - 1);

		if (accounted >= 0)
			return accounted;
	}
	l->record_busy++;
	return 0;
}

#endif
