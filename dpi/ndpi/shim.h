/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the shim share. */
#ifndef WEIR_SHIM_H
#define WEIR_SHIM_H

#include <stdlib.h>
#include <string.h>

#include "ndpi_shim.h"
#include "release.h"

struct weir_ndpi_flow {
	struct weir_ndpi_flow *next; /* among the spare */
	ndpi_protocol found;
	uint8_t l4_protocol;
	uint8_t fed; /* nDPI has seen a packet of it */
	uint8_t guessed;
	struct ndpi_flow_struct *flow;
};

struct weir_ndpi {
	module_t *module;
	struct weir_ndpi_flow *spare;
	uint32_t spare_count;
	uint64_t memory_max; /* octets; see WEIR_NDPI_CROWDED */
	uint64_t now_ms; /* nDPI's clock, which never runs backwards */
	uint8_t bare[128]; /* a packet's headers, see weir_ndpi_bare */
};

/* Has what the library allocates counted, which must be before it allocates. */
void weir_ndpi_count_memory(void);

/* Frees a flow and what it points to. */
void weir_ndpi_flow_destroy(struct weir_ndpi_flow *f);

/* Fills in what a flow's dissection left in the library's own structure. */
void weir_ndpi_collect_details(module_t *module, const struct weir_ndpi_flow *f, struct weir_ndpi_details *d);

static inline int is(const ndpi_protocol *p, uint16_t id)
{
	return application_id(p) == id || master_id(p) == id;
}

static inline int is_tls_family(const ndpi_protocol *p)
{
	return is(p, NDPI_PROTOCOL_TLS) || is(p, NDPI_PROTOCOL_DTLS) || is(p, NDPI_PROTOCOL_MAIL_SMTPS) ||
	       is(p, NDPI_PROTOCOL_MAIL_IMAPS) || is(p, NDPI_PROTOCOL_MAIL_POPS) || is(p, NDPI_PROTOCOL_QUIC);
}

/* Copies what fits; limit is the size of from where it is an array, in which
 * nDPI may have left out the final 0. */
static inline void copy(char *to, size_t size, const char *from, size_t limit)
{
	size_t n;

	if (!from)
		return;
	n = strnlen(from, limit < size - 1 ? limit : size - 1);
	memcpy(to, from, n);
	to[n] = 0;
}

/* Of what the library keeps as an array in one release and by a pointer in
 * another, as much as there is. */
#define IS_ARRAY(from) !__builtin_types_compatible_p(__typeof__(from), __typeof__(&(from)[0]))
#define COPY_TEXT(to, from) copy(to, sizeof(to), from, IS_ARRAY(from) ? sizeof(from) : sizeof(to) - 1)

/* A breed of protocols by name; those that a newer release added are Unrated. */
const char *weir_ndpi_breed_name(int breed);

#endif
