/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A flow as the table keeps it: the core that every flow has, and behind it a part
 * for each group that is on, and for no other. Where a part is the loader has put
 * into cfg_at_*, so that the verifier knows it; bpf/layout.go lays them out. */
#ifndef WEIR_ENTRY_H
#define WEIR_ENTRY_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "types.h"

/* What every flow has of a direction of its biflow (RFC 5103). Sizes are in the
 * accounting mode. */
struct direction_count {
	__u64 packets;
	__u64 octets;
	__u64 first_ns; /* earliest and latest time; 0 without a packet */
	__u64 last_ns;
};

/* What every flow has. What each packet touches comes first. */
struct flow_core {
	struct flow_key key;
	__u32 part;    /* 0, and one more with each active split */
	__u8 src_end;  /* which end of the key is the source */
	__u8 icmp_type; /* of the first packet, as are all that follow but for the counters */
	__u8 icmp_code;
	__u8 outer_ip_version; /* of the outermost tunnel's IP header; 0 without one */
	struct direction_count dir[2]; /* enum flow_direction_id */
	__u64 flow_id; /* unique in one run of the meter; kept over active splits */
	__u64 fragments; /* later fragments among the packets */
	__u8 mac[2][6];  /* source, destination */
	__u32 tunnel_key; /* whether the flow key has it or not */
	__u8 outer_addr[2][16]; /* source, destination */
};

/* The end of TCP connections. */
struct flow_end {
	__u64 ended_ns; /* when TCP_END_REACHED was */
	__u8 tcp_end;   /* enum tcp_end */
	__u8 pad[7];
};

/* The IP statistics. */
struct flow_ip {
	struct ip_direction dir[2];
};

/* The TCP statistics. */
struct flow_tcp {
	/* the last SYN before the first SYN-ACK, the last SYN-ACK before the ACK that
	 * answers it, that ACK; where handshake says so */
	__u64 syn_ns;
	__u64 syn_ack_ns;
	__u64 ack_ns;
	__u8 handshake;         /* enum tcp_handshake */
	__u8 syn_ack_direction; /* enum flow_direction_id */
	__u8 pad[6];
	struct tcp_direction dir[2];
};

/* The statistics of a direction's sizes and gaps. Gaps are between floor(t/1000) of
 * consecutive packets of the scope; a packet older than its predecessor makes a gap of
 * 0. No gap reaches the active timeout: with one below 2^32 µs gaps fit 32 bits, and
 * sums of their squares 64. */
struct direction_statistics {
	__u64 last_us; /* last_ns / 1000, kept to divide once a packet */
	__u64 size_sq; /* Σ size² */
	__u64 iat_us;  /* Σ gap */
	__u64 iat_sq;  /* Σ gap² */
	__u32 size_min;
	__u32 size_max;
	__u32 iat_min_us; /* of packets-1 gaps; 0 before the second packet */
	__u32 iat_max_us;
};

/* The statistics, but for the flags. */
struct flow_statistics {
	__u64 regressions; /* packets older than the flow's latest */
	__u64 iat_us;      /* bidirectional gaps, as above */
	__u64 iat_sq;
	__u32 iat_min_us;
	__u32 iat_max_us;
	struct direction_statistics dir[2];
};

/* The flags, which belong to the statistics. */
struct flow_flags {
	__u64 dir[2][TCP_FLAG_COUNT]; /* packets that had bit i of the flag byte */
};

struct vector_packet {
	__u32 size;
	__u32 iat_us; /* gap before it; 0 for the first */
};

/* The first-N vectors. */
struct flow_vectors {
	__u64 last_us; /* of the packets in it; 0 without any */
	__u32 direction; /* bit i: packet i was reverse */
	__u32 pad;
	struct vector_packet packets[SPLT_MAX];
};

enum entry_state {
	ENTRY_VACANT = 0,   /* just inserted: for the packet that did so to open */
	ENTRY_OPEN = 1,     /* holds a flow */
	ENTRY_CLOSED = 2,   /* its flow has been sent; a packet may open another */
	ENTRY_DELETING = 3, /* the sweep is about to delete it: hands off */
	ENTRY_SPLIT = 4,    /* its flow has been sent for the active timeout, by a packet
			     * that is about to open the next part */
};

/* A table entry without the parts of groups. While the kernel fills an element that it
 * recycles, without the lock and in an order of its own, the state goes from
 * ENTRY_DELETING to ENTRY_VACANT: a packet that found the entry before it was deleted
 * takes neither for its own. */
struct flow_entry {
	struct bpf_spin_lock lock;
	__u8 state;    /* enum entry_state */
	__u8 samples;  /* samples sent */
	__u8 dpi_done; /* user space wants no more */
	__u8 bare;     /* as in sample_event */
	struct flow_core record;
};

/* With every group; parts that are on keep this order. */
struct flow_whole {
	struct flow_core core;
	struct flow_end end;
	struct flow_ip ip;
	struct flow_tcp tcp;
	struct flow_statistics statistics;
	struct flow_flags flags;
	struct flow_vectors vectors;
};

/* A closed record in the ring buffer: the core, and all that follows it in the entry.
 * Without CAP_PERFMON it is a struct flow_whole, in which what is off means nothing. */
struct record_event {
	__u32 kind;
	__u8 end_reason; /* enum flow_end_reason */
	__u8 pad[3];
	struct flow_core record;
};

/* A part of a group, for whoever has seen that the group is on. Without CAP_PERFMON the
 * verifier also looks, as speculation, at what is never run: there a group that is off
 * has its part at 0, which is to lie within the core. */
#define ENTRY_PART(name)                                                                        \
	_Static_assert(sizeof(struct flow_##name) <= sizeof(struct flow_core),                  \
		       #name " is larger than the core");                                       \
	static __always_inline struct flow_##name *name##_of(const struct flow_core *r)         \
	{                                                                                       \
		return (struct flow_##name *)((__u8 *)r + cfg_at_##name);                       \
	}

ENTRY_PART(end)
ENTRY_PART(ip)
ENTRY_PART(tcp)
ENTRY_PART(statistics)
ENTRY_PART(flags)
ENTRY_PART(vectors)

#endif
