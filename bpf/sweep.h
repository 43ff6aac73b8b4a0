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

/* Second phase. An entry that was inserted but never filled, because its packet
 * found another way, goes through both phases as well. One that is split is left to
 * the packet that goes on with it: its flow's id would go with the entry. */
static __always_inline void sweep_delete(struct flow_entry *e, struct flow_key *key,
					 struct sweep *s)
{
	int deleting = 0;

	bpf_spin_lock(&e->lock);
	if (e->state == ENTRY_VACANT) {
		e->state = ENTRY_CLOSED;
	} else if (e->state == ENTRY_CLOSED || e->state == ENTRY_DELETING) {
		e->state = ENTRY_DELETING; /* again, if deleting failed before */
		deleting = 1;
	}
	bpf_spin_unlock(&e->lock);
	if (deleting && !bpf_map_delete_elem(&flows, key))
		s->deleted++;
}

/* First phase. Returns 1 to stop the sweep: there is no room in the ring. */
static __always_inline long sweep_close(struct flow_entry *e, struct sweep *s)
{
	struct record_event *event = emit_reserve_record();
	__u8 reason = END_NONE;

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

/* The first look is without the lock; what it decides is decided again under it.
 * For that the key is looked up once more, because Linux 6.1 refuses the lock of a
 * callback's own value. */
static __always_inline long sweep_look(struct flow_key *key, const struct flow_entry *value,
				       struct sweep *s)
{
	struct flow_entry *e;

	if (value->state == ENTRY_OPEN && sweep_reason(&value->record, s) == END_NONE) {
		s->open++;
		s->packets_open += record_packets(&value->record);
		s->octets_open += value->record.dir[0].octets + value->record.dir[1].octets;
		return 0;
	}
	e = bpf_map_lookup_elem(&flows, key);
	if (!e)
		return 0;
	if (e->state == ENTRY_OPEN)
		return sweep_close(e, s);
	sweep_delete(e, key, s);
	return 0;
}

/* Entries keep their order, nobody but a sweep deletes any, and those that are new
 * only make others be seen twice. Where an entry is recycled between its deletion here
 * and the step to the next one, the walk goes on in another bucket: what it leaves out
 * is for the next sweep. */
static long sweep_entry(void *map, struct flow_key *key, struct flow_entry *value,
			struct sweep *s)
{
	__s64 beyond = (__s64)s->at - s->skip;

	/* What the verifier would learn of the counters themselves it would learn
	 * anew at every entry. */
	asm volatile("" : "+r"(beyond));
	if (beyond >= cfg_sweep_entries) {
		s->more = 1;
		return 1;
	}
	s->at++;
	return beyond < 0 ? 0 : sweep_look(key, value, s);
}

static __always_inline void sweep_run(struct sweep *s)
{
	bpf_for_each_map_elem(&flows, sweep_entry, s, 0);
	s->skip = s->at - s->deleted;
}

#endif
