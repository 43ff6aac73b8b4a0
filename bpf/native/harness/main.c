/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The metering programs, compiled for the machine that tests them: commands on
 * stdin, answers on stdout, both framed. Any violation aborts. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sanitizer/asan_interface.h>

#include "kernel.h"

/* The knobs are constants to BPF; here the test sets them. */
#include "types.h"
#define const
#include "config.h"
#undef const
#include "weir.bpf.c"

enum command_kind {
	COMMAND_RESET, /* a: entries of hashes, b: octets of the ring, c: of a table entry */
	COMMAND_KNOB,  /* name, a NUL, value */
	COMMAND_FRAME, /* a: original length, b: hook, c: linear octets, d: tag */
	COMMAND_SWEEP, /* a struct sweep; a: by the iterator, where there is one */
	COMMAND_DONE,  /* struct dpi_done, any number */
	COMMAND_FAULT, /* a: kind, b: skip, c: count, d: what the other CPU does */
	COMMAND_DRAIN, /* the reader empties the ring */
	COMMAND_LEDGER,
};

struct command {
	__u32 kind;
	__u32 length; /* octets that follow */
	__u64 time_ns;
	__u32 a, b, c, d;
};

enum answer_kind {
	ANSWER_EVENT = 1,  /* what was submitted to the ring */
	ANSWER_FRAME = 2,  /* u32 decode status */
	ANSWER_SWEEP = 3,  /* a struct sweep */
	ANSWER_LEDGER = 4, /* a struct ledger */
};

enum hook {
	HOOK_XDP,            /* time and length in the metadata */
	HOOK_XDP_TIME,       /* time in the metadata */
	HOOK_XDP_NO_METADATA,
	HOOK_TCX_IN,
	HOOK_TCX_OUT,
};

/* What the other CPU does when it gets in. Where that is in the middle of a sweep
 * it only meters: user space runs one sweep at a time. */
enum other {
	OTHER_CLOSES,   /* a forced sweep */
	OTHER_DELETES,  /* sweeps until the table is empty */
	OTHER_METERS,   /* the same frame once more */
	OTHER_RECYCLES, /* empties the table, then the frame before this one, now */
};

static struct {
	struct command command;
	__u8 *octets;
} current, previous;

static __u32 other_does;
static int sweeping;

static void answer(__u32 kind, const void *octets, __u32 length)
{
	__u32 head[2] = { kind, length };

	fwrite(head, sizeof(head), 1, stdout);
	fwrite(octets, length, 1, stdout);
}

void event_submitted(const void *event, __u32 size) { answer(ANSWER_EVENT, event, size); }

static void *copy_of(const void *octets, size_t size)
{
	void *p = malloc(size);

	if (!p)
		violation("no memory", "main.c");
	return size ? memcpy(p, octets, size) : p;
}

/* --- frames --- */

/* Between the metadata and the frame lies ground that nobody may touch; a read in
 * front of the frame is seen. Metadata of a time alone has to end right there. */
#define GAP 64

static void run_xdp(const struct command *c, const __u8 *octets, struct native_frame frame,
		    __u32 linear)
{
	const __u64 meta[2] = { c->time_ns, c->a };
	const __u32 size = c->b == HOOK_XDP ? 16 : c->b == HOOK_XDP_TIME ? 8 : 0;
	const __u32 gap = size == 16 ? GAP : 0;
	__u8 *base = malloc(size + gap + linear);
	struct xdp_md ctx = { .frame = frame };

	if (!base)
		violation("no memory for a frame", "main.c");
	memcpy(base, meta, size);
	if (linear)
		memcpy(base + size + gap, octets, linear);
	ASAN_POISON_MEMORY_REGION(base + size, gap);
	ctx.data_meta = (__u64)base;
	ctx.data = (__u64)(base + size + gap);
	ctx.data_end = ctx.data + linear;
	if (weir_xdp_in(&ctx) != XDP_PASS)
		violation("a verdict other than XDP_PASS", "weir_xdp_in");
	if (linear && memcmp(base + size + gap, octets, linear))
		violation("the frame was changed", "weir_xdp_in");
	ASAN_UNPOISON_MEMORY_REGION(base + size, gap);
	free(base);
}

static void run_tcx(const struct command *c, const __u8 *octets, struct native_frame frame,
		    __u32 linear)
{
	struct __sk_buff skb = { .len = frame.length, .frame = frame };

	skb.vlan_present = c->d >> 16;
	skb.vlan_tci = c->d & 0xffff;
	skb.frame.linear = copy_of(octets, linear);
	skb.data = (__u64)skb.frame.linear;
	skb.data_end = skb.data + linear;
	if ((c->b == HOOK_TCX_IN ? weir_tcx_in(&skb) : weir_tcx_out(&skb)) != VERDICT_NEXT)
		violation("a verdict other than TCX_NEXT", "weir_tcx");
	free(skb.frame.linear);
}

/* The frame is a heap object of just its size: no read beyond it goes unseen. */
static void run_frame(const struct command *c, const __u8 *octets)
{
	__u32 linear = c->c < c->length ? c->c : c->length;
	struct native_frame frame = { .octets = octets, .length = c->length };

	kernel_set_clock(c->time_ns);
	if (c->b <= HOOK_XDP_NO_METADATA)
		run_xdp(c, octets, frame, linear);
	else
		run_tcx(c, octets, frame, linear);
}

/* Which counter of the ledger the frame has moved. */
static __u32 status_since(const struct ledger *before, const struct ledger *after)
{
	for (__u32 i = 0; i < STATUS_COUNT; i++)
		if (after->ignored_packets[i] != before->ignored_packets[i])
			return i;
	return STATUS_OK;
}

/* CPU 0's part, which faults do not keep from being read. */
static struct ledger *ledger_of_cpu(__u32 cpu)
{
	struct native_map *map = NATIVE_MAP(&ledgers);

	return map_value_at(map, cpu * map->max_entries + cfg_point);
}

static void command_frame(const struct command *c, const __u8 *octets)
{
	struct ledger before = *ledger_of_cpu(0);
	__u32 status;

	free(previous.octets);
	previous = current;
	current.command = *c;
	current.octets = copy_of(octets, c->length);
	run_frame(c, current.octets);
	kernel_idle();
	status = status_since(&before, ledger_of_cpu(0));
	answer(ANSWER_FRAME, &status, sizeof(status));
}

/* --- the other programs --- */

/* One run, on the keys that user space would hand over. */
static struct sweep run_sweep(const struct sweep *s, const struct flow_key *keys, __u32 n)
{
	__u32 length = sizeof(*s) + n * sizeof(*keys);
	struct sweep *packet = malloc(length), answer;
	struct xdp_md ctx = { .data = (__u64)packet, .data_end = (__u64)packet + length,
			      .frame = { .octets = (void *)packet, .length = length } };

	if (!packet)
		violation("no memory for a sweep", "main.c");
	*packet = *s;
	if (n)
		memcpy(packet + 1, keys, n * sizeof(*keys));
	if (weir_sweep(&ctx) != XDP_PASS)
		violation("a verdict other than XDP_PASS", "weir_sweep");
	answer = *packet;
	free(packet);
	return answer;
}

/* Up to SWEEP_KEYS keys from a slot on, and the slot behind them. */
static __u32 keys_from(__u32 *slot, struct flow_key *keys)
{
	struct native_map *map = NATIVE_MAP(&flows);
	__u32 n = 0;

	for (; *slot < map->max_entries && n < SWEEP_KEYS; ++*slot) {
		const void *key = map_key_at(map, *slot);

		if (key)
			memcpy(&keys[n++], key, sizeof(*keys));
	}
	return n;
}

static struct sweep sweep_table(struct sweep s)
{
	static struct flow_key keys[SWEEP_KEYS];
	__u32 slot = 0, n;

	sweeping++;
	do {
		n = keys_from(&slot, keys);
		s = run_sweep(&s, keys, n);
	} while (n && !s.deferred);
	sweeping--;
	return s;
}

#ifdef FRAME_COPIED

static struct sweep walk_table(struct sweep s) { return sweep_table(s); }

#else

/* Over slots, as the kernel over buckets. */
static void walk_slots(struct native_map *map)
{
	struct bpf_iter_meta meta = { 0 };
	struct bpf_iter__bpf_map_elem ctx = { .meta = &meta };

	for (__u32 i = 0; i < map->max_entries; i++) {
		ctx.key = map_key_at(map, i);
		ctx.value = map_value_at(map, i);
		if (ctx.key && weir_sweep_walk(&ctx))
			return;
	}
	ctx.key = NULL;
	ctx.value = NULL;
	if (weir_sweep_walk(&ctx))
		violation("it stops behind the last entry", "weir_sweep_walk");
}

static struct sweep walk_table(struct sweep s)
{
	struct sweep_walk *w = map_value_at(NATIVE_MAP(&sweep_state), 0);

	if (!s.now_ns)
		s.now_ns = run_sweep(&(struct sweep){ 0 }, NULL, 0).now_ns;
	*w = (struct sweep_walk){ .sweep = s };
	sweeping++;
	walk_slots(NATIVE_MAP(&flows));
	sweeping--;
	return w->sweep;
}

#endif

static void command_sweep(const struct command *c, const __u8 *octets)
{
	struct sweep s;

	if (c->length != sizeof(s))
		violation("a sweep of another size", "main.c");
	memcpy(&s, octets, sizeof(s));
	s = c->a ? walk_table(s) : sweep_table(s);
	kernel_idle();
	answer(ANSWER_SWEEP, &s, sizeof(s));
}

static void command_done(const __u8 *octets, __u32 length)
{
	__u8 *data = copy_of(octets, length);
	struct xdp_md ctx = { .data = (__u64)data, .data_end = (__u64)data + length,
			      .frame = { .octets = data, .length = length } };

	weir_dpi_done(&ctx);
	kernel_idle();
	free(data);
}

/* --- the other CPU --- */

static void other_sweeps(int times)
{
	while (!sweeping && times--)
		sweep_table((struct sweep){ .now_ns = current.command.time_ns,
					    .mode = SWEEP_FORCED });
}

void other_cpu_runs(void)
{
	if (other_does == OTHER_CLOSES)
		other_sweeps(1);
	if (other_does == OTHER_DELETES || other_does == OTHER_RECYCLES)
		other_sweeps(3);
	if (other_does == OTHER_METERS && current.octets)
		run_frame(&current.command, current.octets);
	if (other_does == OTHER_RECYCLES && previous.octets) {
		struct command c = previous.command;

		c.time_ns = current.command.time_ns;
		run_frame(&c, previous.octets);
	}
}

/* --- commands --- */

static void command_knob(const __u8 *octets, __u32 length)
{
	const char *name = (const char *)octets;
	size_t size = strnlen(name, length) + 1;
	void *knob;

	if (size >= length)
		violation("a knob without a value", "main.c");
	knob = dlsym(RTLD_DEFAULT, name);
	if (!knob)
		violation("no such knob", name);
	memcpy(knob, octets + size, length - size);
}

static void command_reset(const struct command *c)
{
	kernel_reset(c->a, c->b);
	kernel_resize(sizeof(struct flow_entry), c->c);
	free(previous.octets);
	free(current.octets);
	memset(&previous, 0, sizeof(previous));
	memset(&current, 0, sizeof(current));
}

static void command_ledger(void)
{
	struct ledger sum = *ledger_of_cpu(0);
	const __u64 *other = (const __u64 *)ledger_of_cpu(1);

	for (size_t i = 0; i < sizeof(sum) / sizeof(__u64); i++)
		((__u64 *)&sum)[i] += other[i];
	answer(ANSWER_LEDGER, &sum, sizeof(sum));
}

static void obey(const struct command *c, const __u8 *octets)
{
	switch (c->kind) {
	case COMMAND_RESET:
		return command_reset(c);
	case COMMAND_KNOB:
		return command_knob(octets, c->length);
	case COMMAND_FRAME:
		return command_frame(c, octets);
	case COMMAND_SWEEP:
		return command_sweep(c, octets);
	case COMMAND_DONE:
		return command_done(octets, c->length);
	case COMMAND_FAULT:
		other_does = c->d;
		return kernel_set_fault(c->a, c->b, c->c);
	case COMMAND_DRAIN:
		return kernel_drained();
	case COMMAND_LEDGER:
		return command_ledger();
	}
	violation("unknown command", "main.c");
}

int main(void)
{
	struct command c;

	while (fread(&c, sizeof(c), 1, stdin) == 1) {
		__u8 *octets = malloc(c.length);

		if (!octets || (c.length && fread(octets, c.length, 1, stdin) != 1))
			violation("a command is cut short", "main.c");
		obey(&c, octets);
		free(octets);
	}
	command_reset(&(struct command){ 0 });
	return 0;
}
