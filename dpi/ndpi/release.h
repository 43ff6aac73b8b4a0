/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between releases of nDPI, 4.2 to 5.x, and nothing else. The rest
 * of the shim knows of one nDPI only. */
#ifndef WEIR_NDPI_RELEASE_H
#define WEIR_NDPI_RELEASE_H

#include <ndpi_api.h>

#define NDPI_AT_LEAST(major, minor) \
	(NDPI_MAJOR > (major) || (NDPI_MAJOR == (major) && NDPI_MINOR >= (minor)))

#if !NDPI_AT_LEAST(4, 2)
#error "weir needs libndpi 4.2 or newer: install libndpi-dev, or name a newer one with make NDPI_PREFIX=DIR"
#elif NDPI_AT_LEAST(6, 0)
#error "weir knows libndpi 4.2 to 5.x: install one of these, or name it with make NDPI_PREFIX=DIR"
#endif

/* What a library has: 1, or 0. With make NDPI_PREFIX the compiler was asked, by
 * tools/setup/probe_ndpi.sh, which has a probe of each name. Without, the release
 * tells. A development snapshot between two releases has an odd minor number;
 * where only 4.11 or 4.13 is named, the change was made in the course of it. */
#ifndef NDPI_HAS_CONTEXT /* ndpi_init_detection_module takes a context, not preferences */
#define NDPI_HAS_CONTEXT NDPI_AT_LEAST(4, 10)
#endif
#ifndef NDPI_HAS_BITMASK /* protocols are off until they are asked for */
#define NDPI_HAS_BITMASK !NDPI_AT_LEAST(5, 0)
#endif
#ifndef NDPI_HAS_READINESS /* ndpi_finalize_initialization says how it went */
#define NDPI_HAS_READINESS NDPI_AT_LEAST(4, 10)
#endif
#ifndef NDPI_HAS_CATEGORY_DATA /* ndpi_load_categories_file takes data of the caller's */
#define NDPI_HAS_CATEGORY_DATA NDPI_AT_LEAST(4, 4)
#endif
#ifndef NDPI_HAS_ALLOCATOR /* all of the allocator is given at once */
#define NDPI_HAS_ALLOCATOR NDPI_AT_LEAST(5, 0)
#endif
#ifndef NDPI_HAS_INPUT /* ndpi_detection_process_packet takes what the caller knows */
#define NDPI_HAS_INPUT NDPI_AT_LEAST(4, 6)
#endif
#ifndef NDPI_HAS_GUESS_SWITCH /* ndpi_detection_giveup is told whether to guess */
#define NDPI_HAS_GUESS_SWITCH !NDPI_AT_LEAST(4, 10)
#endif
#ifndef NDPI_HAS_GUESS_FLAG /* the flow says whether it was guessed */
#define NDPI_HAS_GUESS_FLAG NDPI_AT_LEAST(5, 0)
#endif
#ifndef NDPI_HAS_STATE /* the result says whether more packets could tell more */
#define NDPI_HAS_STATE NDPI_AT_LEAST(5, 0)
#endif
#ifndef NDPI_HAS_PAIR /* the result's two protocols are a structure of their own */
#define NDPI_HAS_PAIR NDPI_AT_LEAST(4, 11)
#endif
#ifndef NDPI_HAS_JA3 /* of TLS clients */
#define NDPI_HAS_JA3 !NDPI_AT_LEAST(4, 13)
#endif
#ifndef NDPI_HAS_JA4
#define NDPI_HAS_JA4 NDPI_AT_LEAST(4, 10)
#endif
#ifndef NDPI_HAS_BOTH_ALPN /* until then one text held whichever side spoke last */
#define NDPI_HAS_BOTH_ALPN NDPI_AT_LEAST(4, 6)
#endif
#ifndef NDPI_HAS_HTTP_SERVER
#define NDPI_HAS_HTTP_SERVER NDPI_AT_LEAST(4, 6)
#endif
#ifndef NDPI_HAS_CONFIDENCE_IP
#define NDPI_HAS_CONFIDENCE_IP (!NDPI_AT_LEAST(4, 6) || NDPI_AT_LEAST(4, 8))
#endif
#ifndef NDPI_HAS_CONFIDENCE_PARTIAL
#define NDPI_HAS_CONFIDENCE_PARTIAL NDPI_AT_LEAST(4, 4)
#endif
#ifndef NDPI_HAS_CONFIDENCE_NBPF
#define NDPI_HAS_CONFIDENCE_NBPF NDPI_AT_LEAST(4, 6)
#endif
#ifndef NDPI_HAS_CONFIDENCE_AGGRESSIVE
#define NDPI_HAS_CONFIDENCE_AGGRESSIVE NDPI_AT_LEAST(4, 8)
#endif
#ifndef NDPI_HAS_CONFIDENCE_CUSTOM
#define NDPI_HAS_CONFIDENCE_CUSTOM NDPI_AT_LEAST(4, 10)
#endif

/* Until 4.8 nDPI takes the turns of an HTTP conversation by packets without
 * payload as well: it reads the content type of a response, and the category that
 * it gives, only if one came between request and response. Newer releases pass
 * such packets over. */
#define GOES_BY_BARE !NDPI_AT_LEAST(4, 8)

typedef struct ndpi_detection_module_struct module_t;

static inline module_t *module_init(void)
{
#if NDPI_HAS_CONTEXT
	return ndpi_init_detection_module(NULL); /* no context shared with other modules */
#else
	return ndpi_init_detection_module(ndpi_no_prefs);
#endif
}

/* Must come right after module_init since 4.6. */
static inline void module_enable_all(module_t *module)
{
#if NDPI_HAS_BITMASK
	NDPI_PROTOCOL_BITMASK all;

	NDPI_BITMASK_SET_ALL(all);
	ndpi_set_protocol_detection_bitmask2(module, &all);
#else
	(void)module;
#endif
}

/* Returns 0 when the module is ready. */
static inline int module_finalize(module_t *module)
{
#if NDPI_HAS_READINESS
	return ndpi_finalize_initialization(module);
#else
	ndpi_finalize_initialization(module);
	return 0;
#endif
}

static inline int load_categories(module_t *module, const char *path)
{
#if NDPI_HAS_CATEGORY_DATA
	return ndpi_load_categories_file(module, path, NULL);
#else
	return ndpi_load_categories_file(module, path);
#endif
}

/* Client fingerprints that are malicious: JA3, and in later releases JA4. The
 * library itself is asked. */
extern int ndpi_load_malicious_ja3_file(module_t *module, const char *path) __attribute__((weak));
extern int ndpi_load_malicious_ja4_file(module_t *module, const char *path) __attribute__((weak));

static inline int malicious_clients_are_ja4(void)
{
	return ndpi_load_malicious_ja4_file != NULL;
}

static inline int load_malicious_clients(module_t *module, const char *path)
{
	if (ndpi_load_malicious_ja4_file)
		return ndpi_load_malicious_ja4_file(module, path);
	return ndpi_load_malicious_ja3_file ? ndpi_load_malicious_ja3_file(module, path) : -1;
}

static inline ndpi_protocol process_packet(module_t *module, struct ndpi_flow_struct *flow,
					   const uint8_t *packet, uint16_t length, uint64_t time_ms)
{
#if NDPI_HAS_INPUT
	return ndpi_detection_process_packet(module, flow, packet, length, time_ms, NULL);
#else
	return ndpi_detection_process_packet(module, flow, packet, length, time_ms);
#endif
}

/* Guesses from ports and addresses what dissection did not find. */
static inline ndpi_protocol give_up(module_t *module, struct ndpi_flow_struct *flow, uint8_t *guessed)
{
#if NDPI_HAS_GUESS_FLAG
	ndpi_protocol p = ndpi_detection_giveup(module, flow);

	*guessed = flow->protocol_was_guessed;
	return p;
#elif NDPI_HAS_GUESS_SWITCH
	return ndpi_detection_giveup(module, flow, 1, guessed);
#else
	return ndpi_detection_giveup(module, flow, guessed);
#endif
}

#if NDPI_HAS_PAIR
#define PAIR(p) ((p)->proto)
#else
#define PAIR(p) (*(p))
#endif

static inline uint16_t application_id(const ndpi_protocol *p)
{
	return PAIR(p).app_protocol;
}

static inline uint16_t master_id(const ndpi_protocol *p)
{
	return PAIR(p).master_protocol;
}

/* ndpi_protocol2name takes the whole result; some time after the pair became a
 * structure it came to take that. The compiler knows which. */
#define NAMED(p) \
	_Generic(&ndpi_protocol2name, \
		 char *(*)(module_t *, ndpi_protocol, char *, unsigned int): *(p), \
		 default: PAIR(p))

static inline void protocol_name(module_t *module, const ndpi_protocol *p, char *to, size_t size)
{
	ndpi_protocol2name(module, NAMED(p), to, size);
}

/* The result for a flow of the one protocol. */
static inline ndpi_protocol only_protocol(uint16_t id)
{
	ndpi_protocol p;

	memset(&p, 0, sizeof(p));
	PAIR(&p).app_protocol = id;
	return p;
}

/* Whether more packets could tell more about a flow whose application is known.
 * Where the result says so, a flow that is monitored has its label. */
static inline int extra_possible(module_t *module, struct ndpi_flow_struct *flow, const ndpi_protocol *p)
{
#if NDPI_HAS_STATE
	(void)module;
	if (p->state == NDPI_STATE_MONITORING)
		return 0;
	return p->state != NDPI_STATE_CLASSIFIED || flow->extra_packets_func != NULL;
#else
	(void)p;
	return ndpi_extra_dissection_possible(module, flow);
#endif
}

/* JA3 of the client; its JA4 in releases that no longer compute JA3. */
#if NDPI_HAS_JA3
#define TLS_CLIENT_FINGERPRINT ja3_client
#else
#define TLS_CLIENT_FINGERPRINT ja4_client
#endif

/* The library's numbers of confidence shift from release to release. */
static inline uint8_t stable_confidence(const struct ndpi_flow_struct *flow)
{
	switch (flow->confidence) {
	case NDPI_CONFIDENCE_MATCH_BY_PORT:
		return WEIR_CONFIDENCE_PORT;
#if NDPI_HAS_CONFIDENCE_IP
	case NDPI_CONFIDENCE_MATCH_BY_IP:
		return WEIR_CONFIDENCE_IP;
#endif
#if NDPI_HAS_CONFIDENCE_NBPF
	case NDPI_CONFIDENCE_NBPF:
		return WEIR_CONFIDENCE_NBPF;
#endif
#if NDPI_HAS_CONFIDENCE_PARTIAL
	case NDPI_CONFIDENCE_DPI_PARTIAL:
		return WEIR_CONFIDENCE_PARTIAL;
	case NDPI_CONFIDENCE_DPI_PARTIAL_CACHE:
		return WEIR_CONFIDENCE_PARTIAL_CACHE;
#endif
#if NDPI_HAS_CONFIDENCE_AGGRESSIVE
	case NDPI_CONFIDENCE_DPI_AGGRESSIVE:
		return WEIR_CONFIDENCE_AGGRESSIVE;
#endif
#if NDPI_HAS_CONFIDENCE_CUSTOM
	case NDPI_CONFIDENCE_CUSTOM_RULE:
		return WEIR_CONFIDENCE_CUSTOM_RULE;
#endif
	case NDPI_CONFIDENCE_DPI_CACHE:
		return WEIR_CONFIDENCE_CACHE;
	case NDPI_CONFIDENCE_DPI:
		return WEIR_CONFIDENCE_DPI;
	case NDPI_CONFIDENCE_UNKNOWN:
	default: /* one that a release since has added: what it means is not known here */
		return WEIR_CONFIDENCE_UNKNOWN;
	}
}

#endif
