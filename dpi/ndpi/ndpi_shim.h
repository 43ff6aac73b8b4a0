/* SPDX-License-Identifier: Apache-2.0 */
/* libndpi behind an interface that does not change with its release: opaque
 * pointers and plain structures. Its own flow structure is full of bit-fields
 * and unions and is laid out anew with every release. */
#ifndef WEIR_NDPI_SHIM_H
#define WEIR_NDPI_SHIM_H

#include <stdbool.h>
#include <stdint.h>

struct weir_ndpi;      /* a detection module; used by one thread at a time */
struct weir_ndpi_flow; /* one flow under inspection in one module */

/* State of a flow after a packet; bits. */
enum weir_ndpi_state {
	WEIR_NDPI_KNOWN = 1,    /* the application is known */
	WEIR_NDPI_EXTRA = 2,    /* more packets could tell more about it */
	WEIR_NDPI_REJECTED = 4, /* the packet was kept from nDPI */
	WEIR_NDPI_MEMORY = 8,   /* no memory for the flow */
};

/* Confidence in numbers of our own, since nDPI renumbers its own: those of 4.2,
 * which distributions ship, and behind them what newer releases added. */
enum weir_confidence {
	WEIR_CONFIDENCE_UNKNOWN = 0,
	WEIR_CONFIDENCE_PORT = 1,
	WEIR_CONFIDENCE_IP = 2,
	WEIR_CONFIDENCE_CACHE = 3,
	WEIR_CONFIDENCE_DPI = 4,
	WEIR_CONFIDENCE_PARTIAL = 5,
	WEIR_CONFIDENCE_PARTIAL_CACHE = 6,
	WEIR_CONFIDENCE_NBPF = 7,
};

/* The verdict over a flow. Strings end in 0 and are as nDPI holds them, not
 * necessarily UTF-8; sizes are nfstream's. */
struct weir_ndpi_result {
	uint8_t guessed;
	uint8_t confidence; /* enum weir_confidence */
	char application_name[40];
	char category_name[24];
	char server_name[80];
	char client_fingerprint[48];
	char server_fingerprint[48];
	char user_agent[256];
	char content_type[64];
};

/* The release of the library that is loaded, as "4.2.0". */
const char *weir_ndpi_version(void);

/* Whether the library that is loaded is the one whose headers this was built
 * with: 1, else 0. Nothing else may be called when it is not. */
int weir_ndpi_matches(void);

/* A module with nDPI's defaults and all protocols, or NULL without memory.
 * Making and destroying modules must not run in parallel. */
struct weir_ndpi *weir_ndpi_open(void);
void weir_ndpi_close(struct weir_ndpi *m);

/* Shows nDPI one packet of a flow, from its IP header on; *flow is NULL for the
 * flow's first, and set then. nDPI keeps pointers to the packet after the call:
 * its memory must stay mapped. Returns bits of enum weir_ndpi_state. */
int weir_ndpi_feed(struct weir_ndpi *m, struct weir_ndpi_flow **flow, const uint8_t *packet,
		   uint16_t length, uint64_t time_ms);

/* Shows nDPI, where it goes by such, the headers of a packet that it will be
 * shown next without its payload, against its way if so told: one such packet
 * came before it. */
void weir_ndpi_bare(struct weir_ndpi *m, struct weir_ndpi_flow *f, const uint8_t *packet,
		    uint16_t length, uint64_t time_ms, bool against);

/* Ends inspection: guesses where nothing was found, fills in the result and
 * gives the flow back. */
void weir_ndpi_finish(struct weir_ndpi *m, struct weir_ndpi_flow *flow, struct weir_ndpi_result *r);

#endif
