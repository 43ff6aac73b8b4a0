/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Finds, opens and closes records. The only file that touches the table.
 *
 * Invariants: an entry's fields are read and written under its lock only; a
 * holder of a pointer that the table has recycled sees another key, or
 * ENTRY_DELETING, under the lock, and starts over; a closed entry is one whose
 * record is in the ring buffer, so that it may be reused or deleted at will. */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include "config.h"
#include "maps.h"
#include "record.h"
#include "emit.h"

/* What became of a packet at its entry. */
enum account {
	ACCOUNT_DONE,    /* the record has it */
	ACCOUNT_EXPIRED, /* the old record must be sent first, and cannot be */
	ACCOUNT_STALE,   /* not this packet's entry any more: look it up again */
};

static __always_inline int key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && x[4] == y[4] &&
	       x[5] == y[5];
}

static __always_inline __u64 next_flow_id(void)
{
	__u32 zero = 0;
	__u64 *id = bpf_map_lookup_elem(&flow_ids, &zero);

	if (!id)
		return 0;
	return (__u64)bpf_get_smp_processor_id() << 48 | ++*id;
}

/* An empty entry with the packet's key. Its copy of the key is what the slow path
 * looks up: Linux 6.1 reads keys from map values, and not from what a global
 * function is given. */
static __always_inline struct flow_entry *table_vacant(const struct flow_key *key)
{
	__u32 zero = 0;
	struct flow_entry *empty = bpf_map_lookup_elem(&vacant, &zero);

	if (empty)
		empty->record.key = *key;
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

/* Under the lock: the packet into the open record. */
static __always_inline int entry_update(struct flow_entry *e, const struct packet *p,
					__u64 now_us, struct sample_ticket *t)
{
	sample_decide(e, p, record_packets(&e->record), t);
	return record_update(&e->record, p, now_us);
}

/* Under the lock: opens a flow in an entry that holds none any more. */
static __always_inline void entry_open(struct flow_entry *e, const struct packet *p,
				       __u64 flow_id, __u8 reason)
{
	record_clear(&e->record);
	if (reason == END_ACTIVE)
		e->record.part++;
	else
		record_open(&e->record, p, flow_id);
	e->samples = 0;
	e->dpi_done = 0;
	e->bare = 0;
	e->state = ENTRY_OPEN;
}

/* The common case and nothing else: an open record, not expired. */
static __always_inline int entry_account_open(struct flow_entry *e, const struct packet *p,
					      __u64 now_us, struct ledger *l,
					      struct sample_ticket *t)
{
	int done = 0;

	bpf_spin_lock(&e->lock);
	if (e->state == ENTRY_OPEN && key_equal(&e->record.key, &p->key) &&
	    record_expired(&e->record, p) == END_NONE) {
		l->regressions += entry_update(e, p, now_us, t);
		done = 1;
	}
	bpf_spin_unlock(&e->lock);
	return done;
}

/* Every case. event NULL stands for "not yet": the answer says whether a record
 * must be sent first. Sets *used when event now holds one to be sent. */
static __always_inline int entry_account(struct flow_entry *e, const struct packet *p,
					 __u64 now_us, __u64 flow_id,
					 struct record_event *event, int *used,
					 struct ledger *l, struct sample_ticket *t)
{
	int result = ACCOUNT_DONE;
	__u8 reason = END_NONE;

	bpf_spin_lock(&e->lock);
	if (e->state == ENTRY_DELETING || !key_equal(&e->record.key, &p->key)) {
		result = ACCOUNT_STALE;
		goto out;
	}
	if (e->state == ENTRY_OPEN)
		reason = record_expired(&e->record, p);
	if (reason != END_NONE) {
		if (!event) {
			result = ACCOUNT_EXPIRED;
			goto out;
		}
		emit_fill_record(event, &e->record, reason);
		*used = 1;
	}
	if (e->state != ENTRY_OPEN || reason != END_NONE)
		entry_open(e, p, flow_id, reason);
	l->regressions += entry_update(e, p, now_us, t);
out:
	bpf_spin_unlock(&e->lock);
	return result;
}

/* Sends the record of an entry if it has expired, and opens a flow in it if it
 * holds none. The ring record is taken before the lock and given back if it was
 * not needed: nothing may be called under the lock. */
static __always_inline int table_renew(struct flow_entry *e, const struct packet *p,
				       __u64 now_us, struct ledger *l, struct sample_ticket *t)
{
	struct record_event *event = NULL;
	int used = 0, result, reserved;

	/* without the lock: what changes before it is taken makes the entry stale */
	reserved = e->state == ENTRY_OPEN;
	if (reserved)
		event = emit_reserve_record();
	result = entry_account(e, p, now_us, next_flow_id(), event, &used, l, t);
	if (used)
		emit_submit(event);
	else if (event)
		emit_discard(event);
	if (result == ACCOUNT_EXPIRED && !reserved)
		return ACCOUNT_STALE;
	return result;
}

/* The entry may be deleted under our feet once; that it happens again before
 * the next look-up has returned takes another packet of the same flow on
 * another CPU and a sweep in between. */
#define TABLE_TRIES 3

/* One try to account a packet whatever state its entry is in: 1, or 0: no place, or
 * -1: again. */
LOOP_BODY int table_try(const struct packet *p, __u64 now_us, struct ledger *l,
			struct sample_ticket *t)
{
	struct flow_entry *empty, *e;
	int result;

	if (!p || !l || !t)
		return 0;
	empty = table_vacant(&p->key);
	if (!empty)
		return -1;
	e = bpf_map_lookup_elem(&flows, &empty->record.key);
	if (!e) {
		/* Someone else may have been faster (EEXIST): then his is as good.
		 * An int, as Linux before 6.4 does not extend its sign. */
		int err = bpf_map_update_elem(&flows, &empty->record.key, empty, BPF_NOEXIST);

		if (err == -E2BIG || err == -ENOMEM) {
			l->table_full++;
			return 0;
		}
		e = bpf_map_lookup_elem(&flows, &empty->record.key);
		if (!e)
			return -1;
	}
	result = table_renew(e, p, now_us, l, t);
	if (result == ACCOUNT_DONE)
		return 1;
	if (result == ACCOUNT_EXPIRED) {
		l->expiry_deferred++;
		return 0;
	}
	return -1;
}

/* Out of line, so that the common case stays small, and global, so that the verifier
 * looks at it once and not for every way to get here. */
__noinline int table_account_slow(const struct packet *p, __u64 now_us, struct ledger *l,
				  struct sample_ticket *t)
{
	if (!p || !l || !t)
		return 0;
	LOOP
	for (int i = 0; i < TABLE_TRIES; i++) {
		int accounted = table_try(p, now_us, l, t);

		if (accounted >= 0)
			return accounted;
	}
	l->record_busy++;
	return 0;
}

static __always_inline int table_account(const struct packet *p, struct ledger *l,
					 struct sample_ticket *t)
{
	__u64 now_us = p->time_ns / 1000;
	struct flow_entry *e = bpf_map_lookup_elem(&flows, &p->key);

	if (e && entry_account_open(e, p, now_us, l, t))
		return 1;
	return table_account_slow(p, now_us, l, t);
}

#endif
