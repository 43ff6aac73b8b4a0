/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every structure that crosses the boundary between the kernel and Go. It is
 * defined here once; bpf2go derives the Go types from this object's BTF, and
 * entry.h has those of a flow. No implicit padding: they are shipped as bytes. */
#ifndef WEIR_TYPES_H
#define WEIR_TYPES_H

#include <linux/types.h>

/* Entries of the first-N-packets vectors kept in a record. */
#define SPLT_MAX 20
/* Bits of the TCP flag byte, FIN (bit 0) to CWR (bit 7). */
#define TCP_FLAG_COUNT 8

/* Outcome of decoding a frame. Anything but STATUS_OK is a reason to ignore
 * it; the ledger counts each. Numbers are stable: new ones go at the end. */
enum decode_status {
	STATUS_OK = 0,
	/* the link-layer header does not fit in the frame */
	STATUS_LINK_TRUNCATED = 1,
	/* the link type of the interface is not known */
	STATUS_LINK_TYPE = 2,
	/* neither IPv4 nor IPv6: ARP */
	STATUS_ARP = 3,
	/* an 802.3 length instead of an Ethertype, and not SNAP */
	STATUS_LLC = 4,
	/* another Ethertype, or PPP protocol, that does not carry IP */
	STATUS_NOT_IP = 5,
	/* more VLAN tags, MPLS labels or IPv6 extension headers than are followed */
	STATUS_VLAN_DEPTH = 6,
	STATUS_MPLS_DEPTH = 7,
	STATUS_EXTENSION_DEPTH = 8,
	/* the IP header, or an extension header, does not fit in the frame */
	STATUS_IP_TRUNCATED = 9,
	/* version, header length or total length contradict each other */
	STATUS_IP_MALFORMED = 10,
	/* the packet says that it has a transport header; the frame does not */
	STATUS_TRANSPORT_TRUNCATED = 11,
	/* more tunnels inside each other than are followed */
	STATUS_TUNNEL_DEPTH = 12,
	/* the user's filter did not match */
	STATUS_FILTERED = 13,
	/* 802.11 that shows no packet: no data, encrypted, aggregated, damaged, the
	 * middle of a frame */
	STATUS_WIFI = 14,
	STATUS_COUNT = 15,
};

/* How the first bytes of a frame are to be read; numbers are pcap's DLT_*. */
enum link_type {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_PPP = 9,
	LINK_RAW_BSD = 12,
	LINK_PPP_SERIAL = 50,
	LINK_RAW = 101,
	LINK_C_HDLC = 104,
	LINK_LOOP = 108,
	LINK_SLL = 113,
	LINK_RADIOTAP = 127,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

/* Which size of a packet feeds octets, size statistics and first-N vectors. */
enum accounting {
	ACCOUNTING_LINK = 0,      /* original length of the frame */
	ACCOUNTING_IP = 1,        /* IP header and what follows it */
	ACCOUNTING_TRANSPORT = 2, /* what follows the IP headers */
	ACCOUNTING_PAYLOAD = 3,   /* what follows the transport header */
};

/* Kind of tunnel that carried the packet; the first five are nfstream's. */
enum tunnel_kind {
	TUNNEL_NONE = 0,
	TUNNEL_GTP = 1,
	TUNNEL_CAPWAP = 2,
	TUNNEL_TZSP = 3,
	TUNNEL_L2TP = 4,
	TUNNEL_VXLAN = 5,
	TUNNEL_GRE = 6,
	TUNNEL_GENEVE = 7,
};

/* flowEndReason, IPFIX information element 136. */
enum flow_end_reason {
	END_NONE = 0,
	END_IDLE = 1,
	END_ACTIVE = 2,
	END_OF_FLOW = 3,
	END_FORCED = 4,
	END_LACK_OF_RESOURCES = 5,
};

enum flow_direction_id {
	DIR_FORWARD = 0,
	DIR_REVERSE = 1,
};

/* Canonical flow key: the two ends in an order that does not depend on which
 * one sent the packet. An IPv4 address takes the first 4 of its 16 octets, the
 * rest is zero; ip_version keeps the families apart. Ports in host order, 0
 * where the protocol has none. */
struct flow_key {
	__u8 addr[2][16];
	__u16 port[2];
	__u16 vlan_id;       /* innermost tag's id, 0 without a tag */
	__u16 vlan_outer_id; /* outermost tag's id, 0 with fewer than two tags */
	__u32 tunnel_key;    /* VNI, GRE key, ERSPAN session of the outermost tunnel; 0
			      * where each direction has a key of its own: TEID, L2TP */
	__u8 protocol;
	__u8 ip_version;     /* 4 or 6 */
	__u8 tunnel_id;      /* enum tunnel_kind of the outermost tunnel */
	__u8 point;          /* observation point, numbered by the loader */
};

/* One decoded packet: all that a record is updated from. */
struct packet {
	struct flow_key key;
	__u64 time_ns;
	__u32 frame_octets;   /* original length of the frame */
	__u32 octets;         /* size in the accounting mode */
	__u32 payload_octets; /* what follows the transport header */
	__u32 l3_offset;      /* of the innermost IP header, from the frame's start */
	__u32 tcp_seq;        /* this and the next two for the TCP statistics only */
	__u16 tcp_window;     /* as the header has it, unscaled */
	__u16 tcp_mss;        /* of a SYN's option, 0 without one */
	__u8 mac[2][6];       /* source, destination; zero where there are none */
	__u8 src_end;         /* which end of the key sent it: 0 or 1 */
	__u8 tcp_flags;       /* 0 unless a whole TCP header is there */
	__u8 fragment;        /* 1: a later fragment, metered under ports 0 */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 ttl;             /* TTL or hop limit; for the IP statistics only */
	__u8 tos;             /* type of service or traffic class; likewise */
	__u8 outer_ip_version; /* of the outermost tunnel's IP header; 0 without one */
	__u8 outer_addr[2][16]; /* its source and destination, as in flow_key */
	__u32 tunnel_key;     /* of the outermost tunnel, whether the flow key has it or not */
};

/* What the TCP headers of one direction say. Of the sequence numbers the highest
 * is kept, and the latest hole below it: what falls into the hole had not been
 * seen before. All of it but the counters outlives an active split. */
struct tcp_direction {
	__u64 retransmitted; /* packets that brought nothing new */
	__u64 out_of_order;  /* packets that came late, into the hole */
	__u64 zero_window;   /* packets with a window of 0, but SYN, FIN and RST */
	__u32 next_seq;      /* one past the highest sequence number */
	__u32 hole_start;    /* numbers missing below it; none if start is end */
	__u32 hole_end;
	__u32 syn_seq;       /* of the latest SYN */
	__u16 initial_window; /* of the first packet, unscaled */
	__u16 mss;
	__u8 known; /* enum tcp_known */
	__u8 pad[3];
};

/* What of struct tcp_direction is known. */
enum tcp_known {
	TCP_KNOWN_NEXT = 1, /* next_seq and initial_window */
	TCP_KNOWN_SYN = 2,  /* syn_seq */
};

/* Steps of a handshake that were seen. */
enum tcp_handshake {
	TCP_HANDSHAKE_SYN = 1,
	TCP_HANDSHAKE_SYN_ACK = 2,
	TCP_HANDSHAKE_ACK = 4,
};

/* What the IP headers of one direction say. */
struct ip_direction {
	__u8 ttl_min;
	__u8 ttl_max;
	__u8 tos_min;
	__u8 tos_max;
};

/* How far a TCP connection has come to its end, as seen with cfg_tcp_end. */
enum tcp_end {
	TCP_END_FIN_FORWARD = 1,
	TCP_END_FIN_REVERSE = 2,
	TCP_END_REACHED = 4, /* both, or RST: ended_ns says when */
};

/* Kinds of record in the ring buffer. */
enum event_kind {
	EVENT_RECORD = 1, /* a closed flow record */
	EVENT_PACKET = 2, /* one packet that found no place in the table */
	EVENT_SAMPLE = 3, /* the first octets of a packet, for classification */
};

struct packet_event {
	__u32 kind;
	__u32 pad;
	struct packet packet;
};

/* Followed by length octets of the packet from its (inner) IP header on, in an
 * event of one of the sizes of SAMPLE_CLASSES. */
struct sample_event {
	__u32 kind;
	__u32 part;
	struct flow_key key;
	__u64 flow_id;
	__u64 time_ns;
	__u32 length;      /* octets that follow */
	__u32 wire_length; /* octets of the frame from the IP header on */
	__u8 direction;    /* enum flow_direction_id */
	__u8 number;       /* 0 for the flow's first packet, then counting samples */
	__u8 protocol;
	__u8 ip_version;
	/* by 1 << enum flow_direction_id: a packet without payload, which is not
	 * sampled, came that way since the flow's previous sample */
	__u8 bare;
	__u8 pad[3];
};

/* What became of every frame, per CPU and observation point: packets, and
 * octets of the frames. accounted_octets is in the accounting mode, to compare
 * with records. All monotonic. */
struct ledger {
	__u64 observed_packets;
	__u64 observed_octets;
	__u64 metered_packets; /* in a record, in a packet event, or lost */
	__u64 metered_octets;
	__u64 accounted_octets;
	__u64 overflow_packets; /* sent as packet events */
	__u64 lost_packets;     /* … that found no room in the ring */
	__u64 lost_octets;      /* in the accounting mode */
	__u64 table_full;       /* packets that found the table full */
	__u64 record_busy;      /* packets that found their record being deleted */
	__u64 expiry_deferred;  /* closings put off for want of ring space */
	__u64 samples;
	__u64 samples_lost;
	__u64 regressions;      /* packets older than their flow's latest */
	__u64 ignored_packets[STATUS_COUNT];
	__u64 ignored_octets[STATUS_COUNT];
};

/* What a sweep is asked to do. */
enum sweep_mode {
	SWEEP_IDLE = 0,     /* close what is idle at now_ns, delete what was closed */
	SWEEP_PRESSURE = 1, /* also what has been quiet for pressure_ns: reason 5 */
	SWEEP_FORCED = 2,   /* close everything: reason 4 */
	SWEEP_POINT = 3,    /* close everything of one observation point: reason 4 */
};

/* Argument and result of a piece of a sweep. The result is the next one's argument: what
 * is counted adds up over them. */
struct sweep {
	__u64 now_ns;      /* 0: the program's own clock, which it writes back */
	__u64 pressure_ns; /* SWEEP_PRESSURE: how long quiet */
	__u64 packets_open; /* out: what is in records that stay open */
	__u64 octets_open;
	__u32 mode;        /* enum sweep_mode */
	__u32 open;        /* out: records that stay open */
	__u32 closed;      /* out: records closed and sent */
	__u32 deleted;     /* out: entries deleted */
	__u32 deferred;    /* out: 1 when the ring was full and the sweep stopped */
	__u32 point;       /* SWEEP_POINT: which */
	__u32 at;          /* entries come to, and done with */
	__u32 more;        /* user space: 1 until the table's end has been come to */
};

/* Keys of one run of the sweep by test-run: a tenth of a millisecond. */
#define SWEEP_KEYS 256

/* Input and output packet of such a run, which takes several pages. It ends where there
 * are no more keys. */
struct sweep_packet {
	struct sweep sweep;
	struct flow_key keys[SWEEP_KEYS];
};

/* That the table was full for a CPU. */
struct refusal {
	__u64 deletions; /* one more than there were before the entry was refused; 0: it was not */
	__u64 untried;   /* packets that were refused without a try */
};

/* How far user space has come, kept by the kernel over its end. Everything is of
 * one moment: what was read up to position, and what became of it. Nothing but
 * user space reads or writes it. */
struct consumer_progress {
	__u64 position; /* in the ring buffer; what is behind it is to be read again */
	__u64 read_packets;
	__u64 read_octets; /* like all of these in the accounting mode */
	__u64 delivered_packets; /* in flows that are safe */
	__u64 delivered_octets;
	__u64 not_sent_packets; /* of these, in flows that an output refused */
	__u64 not_sent_octets;
	__u64 held_packets; /* in parts metered in user space, which end with it */
	__u64 held_octets;
	__u64 died_packets; /* that were in such parts when it was killed */
	__u64 died_octets;
	__u64 flows; /* delivered */
	__u64 end_reasons[6]; /* of them, by enum flow_end_reason */
};

/* One verdict of "classification done": its flow needs no more samples. */
struct dpi_done {
	struct flow_key key;
	__u64 flow_id;
	__u32 part;
	__u32 pad;
};

#endif
