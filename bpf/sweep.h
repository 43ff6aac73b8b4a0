/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Expiry of what no packet touches: idle flows, ended connections. In two phases:
 * one sweep closes a record, a later one deletes its entry, so that a packet in
 * between finds the entry and reuses it. Ring space is reserved before the record is closed: without space
 * it stays open and nothing is lost.
 *
 * A sweep closes what is over and never splits what is active: the next packet finds
 * out about the active timeout. So no flow's boundaries or end reason depend on when
 * a sweep ran. */
#ifndef WEIR_SWEEP_H
#define WEIR_SWEEP_H

#include "table.h"

/* Under pressure, a flow that has one packet only, or no answer, must have been
 * quiet for just this fraction of the time. */
#define PRESSURE_HALF_OPEN 8

static __always_inline __u8 sweep_pressure_reason(const struct flow_core *r,
						  const struct sweep *s)
{
	__u64 quiet = s->pressure_ns;

	if (record_packets(r) == 1 || !r->dir[DIR_REVERSE].packets)
		quiet /= PRESSURE_HALF_OPEN;
	return reached(s->now_ns, record_last_ns(r), quiet) ? END_LACK_OF_RESOURCES : END_NONE;
}

static __always_inline __u8 sweep_reason(const struct flow_core *r, const struct sweep *s)
{
	__u8 reason = record_over(r, s->now_ns);

	if (reason != END_NONE)
		return reason;
	if (s->mode == SWEEP_FORCED)
		return END_FORCED;
	if (s->mode == SWEEP_POINT && r->key.point == s->point)
		return END_FORCED;
	if (s->mode == SWEEP_PRESSURE)
		return sweep_pressure_reason(r, s);
	return END_NONE;
}

/* What is to be done at an entry. */
enum sweep_task {
	SWEEP_LEAVE,  /* nothing: it stays open, and is counted */
	SWEEP_CLOSE,  /* sweep_close */
	SWEEP_DELETE, /* sweep_delete: it holds no flow any more */
};

/* The look is without the lock; what it decides is decided again under it. For that the
 * key is looked up once more: an iterator's own value has no lock that may be taken. */
static __always_inline enum sweep_task sweep_look(const struct flow_entry *value,
						  struct sweep *s)
{
	if (value->state != ENTRY_OPEN)
		return SWEEP_DELETE;
	if (sweep_reason(&value->record, s) != END_NONE)
		return SWEEP_CLOSE;
	s->open++;
	s->packets_open += record_packets(&value->record);
	s->octets_open += value->record.dir[0].octets + value->record.dir[1].octets;
	return SWEEP_LEAVE;
}

/* Behind the deletion: who sees it told finds the place. */
static __always_inline void sweep_tell_deleted(void)
{
	__u32 zero = 0;
	__u64 *deleted = bpf_map_lookup_elem(&deletions, &zero);

	if (deleted)
		__sync_fetch_and_add(deleted, 1);
}

/* Second phase. An entry that was inserted but never filled, because its packet
 * found another way, goes through both phases as well. One that is split is left to
 * the packet that goes on with it: its flow's id would go with the entry. */
static __always_inline void sweep_delete(const struct flow_key *key, struct sweep *s)
{
	struct flow_entry *e = bpf_map_lookup_elem(&flows, key);
	int deleting = 0;

	if (!e)
		return;
	bpf_spin_lock(&e->lock);
	if (e->state == ENTRY_VACANT) {
		e->state = ENTRY_CLOSED;
	} else if (e->state == ENTRY_CLOSED || e->state == ENTRY_DELETING) {
		e->state = ENTRY_DELETING; /* again, if deleting failed before */
		deleting = 1;
	}
	bpf_spin_unlock(&e->lock);
	if (deleting && !bpf_map_delete_elem(&flows, key)) {
		s->deleted++;
		sweep_tell_deleted();
	}
}

/* First phase. Returns 1 to stop the sweep: there is no room in the ring. */
static __always_inline int sweep_close(const struct flow_key *key, struct sweep *s)
{
	struct flow_entry *e = bpf_map_lookup_elem(&flows, key);
	struct record_event *event;
	__u8 reason = END_NONE;

	if (!e)
		return 0;
	event = emit_reserve_record();
	if (!event) {
		s->deferred = 1;
		return 1;
	}
	bpf_spin_lock(&e->lock);
	if (e->state == ENTRY_OPEN)
		reason = sweep_reason(&e->record, s);
	if (reason != END_NONE) {
		emit_fill_record(event, &e->record, reason);
		e->state = ENTRY_CLOSED;
	}
	bpf_spin_unlock(&e->lock);
	if (reason == END_NONE) {
		emit_discard(event);
		return 0;
	}
	emit_submit(event);
	s->closed++;
	return 0;
}

#endif
