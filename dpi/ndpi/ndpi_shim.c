//go:build cgo && !nodpi

/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between releases of nDPI is in the small functions of the first
 * half; the second half knows of one nDPI only. */
#include <ndpi_api.h>
#include <ndpi_main.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ndpi_shim.h"

#define NDPI_AT_LEAST(major, minor) \
	(NDPI_MAJOR > (major) || (NDPI_MAJOR == (major) && NDPI_MINOR >= (minor)))

#if !NDPI_AT_LEAST(4, 2)
#error "weir needs libndpi 4.2 or newer"
#endif

typedef struct ndpi_detection_module_struct module_t;

static module_t *module_init(void)
{
#if NDPI_AT_LEAST(4, 10)
	return ndpi_init_detection_module(NULL);
#else
	return ndpi_init_detection_module(ndpi_no_prefs);
#endif
}

/* Since 5.0 all protocols are on without asking. */
static void module_enable_all(module_t *module)
{
#if !NDPI_AT_LEAST(5, 0)
	NDPI_PROTOCOL_BITMASK all;

	NDPI_BITMASK_SET_ALL(all);
	ndpi_set_protocol_detection_bitmask2(module, &all);
#else
	(void)module;
#endif
}

static ndpi_protocol process_packet(module_t *module, struct ndpi_flow_struct *flow,
				    const uint8_t *packet, uint16_t length, uint64_t time_ms)
{
#if NDPI_AT_LEAST(4, 6)
	return ndpi_detection_process_packet(module, flow, packet, length, time_ms, NULL);
#else
	return ndpi_detection_process_packet(module, flow, packet, length, time_ms);
#endif
}

static ndpi_protocol give_up(module_t *module, struct ndpi_flow_struct *flow, uint8_t *guessed)
{
#if NDPI_AT_LEAST(5, 0)
	ndpi_protocol p = ndpi_detection_giveup(module, flow);

	*guessed = flow->protocol_was_guessed;
	return p;
#elif NDPI_AT_LEAST(4, 10)
	return ndpi_detection_giveup(module, flow, guessed);
#else
	return ndpi_detection_giveup(module, flow, 1, guessed);
#endif
}

static uint16_t application_id(const ndpi_protocol *p)
{
#if NDPI_AT_LEAST(4, 11)
	return p->proto.app_protocol;
#else
	return p->app_protocol;
#endif
}

static uint16_t master_id(const ndpi_protocol *p)
{
#if NDPI_AT_LEAST(4, 11)
	return p->proto.master_protocol;
#else
	return p->master_protocol;
#endif
}

static int extra_possible(module_t *module, struct ndpi_flow_struct *flow, const ndpi_protocol *p)
{
#if NDPI_AT_LEAST(5, 0)
	(void)module;
	(void)flow;
	return p->state != NDPI_STATE_CLASSIFIED;
#else
	(void)p;
	return ndpi_extra_dissection_possible(module, flow);
#endif
}

static void protocol_name(module_t *module, const ndpi_protocol *p, char *to, size_t size)
{
#if NDPI_AT_LEAST(4, 11)
	ndpi_protocol2name(module, p->proto, to, size);
#else
	ndpi_protocol2name(module, *p, to, size);
#endif
}

/* JA3 of the client; its JA4 in releases that no longer compute JA3. */
#if NDPI_AT_LEAST(4, 14)
#define TLS_CLIENT_FINGERPRINT ja4_client
#else
#define TLS_CLIENT_FINGERPRINT ja3_client
#endif

static uint8_t stable_confidence(const struct ndpi_flow_struct *flow)
{
	switch (flow->confidence) {
	case NDPI_CONFIDENCE_MATCH_BY_PORT:
		return WEIR_CONFIDENCE_PORT;
#if !NDPI_AT_LEAST(4, 6) || NDPI_AT_LEAST(4, 8)
	case NDPI_CONFIDENCE_MATCH_BY_IP:
		return WEIR_CONFIDENCE_IP;
#endif
#if NDPI_AT_LEAST(4, 6)
	case NDPI_CONFIDENCE_NBPF:
		return WEIR_CONFIDENCE_NBPF;
#endif
#if NDPI_AT_LEAST(4, 4)
	case NDPI_CONFIDENCE_DPI_PARTIAL:
		return WEIR_CONFIDENCE_PARTIAL;
	case NDPI_CONFIDENCE_DPI_PARTIAL_CACHE:
		return WEIR_CONFIDENCE_PARTIAL_CACHE;
#endif
	case NDPI_CONFIDENCE_DPI_CACHE:
		return WEIR_CONFIDENCE_CACHE;
	case NDPI_CONFIDENCE_UNKNOWN:
		return WEIR_CONFIDENCE_UNKNOWN;
	default: /* NDPI_CONFIDENCE_DPI, and finer kinds of it in newer releases */
		return WEIR_CONFIDENCE_DPI;
	}
}

/* nDPI 4.2 takes the turns of an HTTP conversation by packets without payload as
 * well: it reads the content type of a response, and the category that it gives,
 * only if one came between request and response. Newer releases pass such packets
 * over. */
#define GOES_BY_BARE !NDPI_AT_LEAST(4, 4)

/* From here on nothing depends on the release. */

/* Flows kept for reuse: at most this many, 700 to 1,200 octets each. */
#define SPARE_MAX 1024

struct weir_ndpi_flow {
	struct weir_ndpi_flow *next; /* among the spare */
	ndpi_protocol found;
	uint8_t l4_protocol;
	uint8_t fed; /* nDPI has seen a packet of it */
	struct ndpi_flow_struct *flow;
};

struct weir_ndpi {
	module_t *module;
	struct weir_ndpi_flow *spare;
	uint32_t spare_count;
	uint64_t now_ms; /* nDPI's clock, which never runs backwards */
	uint8_t bare[128]; /* a packet's headers, see weir_ndpi_bare */
};

const char *weir_ndpi_version(void)
{
	return ndpi_revision();
}

int weir_ndpi_matches(void)
{
	return ndpi_get_api_version() == (u_int16_t)NDPI_API_VERSION &&
	       ndpi_detection_get_sizeof_ndpi_flow_struct() == sizeof(struct ndpi_flow_struct);
}

struct weir_ndpi *weir_ndpi_open(void)
{
	struct weir_ndpi *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->module = module_init();
	if (!m->module) {
		free(m);
		return NULL;
	}
	module_enable_all(m->module);
	ndpi_finalize_initialization(m->module);
	return m;
}

static void flow_destroy(struct weir_ndpi_flow *f)
{
	ndpi_flow_free(f->flow);
	free(f);
}

void weir_ndpi_close(struct weir_ndpi *m)
{
	while (m->spare) {
		struct weir_ndpi_flow *f = m->spare;

		m->spare = f->next;
		flow_destroy(f);
	}
	ndpi_exit_detection_module(m->module);
	free(m);
}

static struct weir_ndpi_flow *flow_create(void)
{
	struct weir_ndpi_flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->flow = ndpi_flow_malloc(sizeof(*f->flow));
	if (!f->flow) {
		free(f);
		return NULL;
	}
	memset(f->flow, 0, sizeof(*f->flow));
	return f;
}

static struct weir_ndpi_flow *flow_take(struct weir_ndpi *m)
{
	struct weir_ndpi_flow *f = m->spare;

	if (!f)
		return flow_create();
	m->spare = f->next;
	m->spare_count--;
	f->next = NULL;
	return f;
}

static void flow_give_back(struct weir_ndpi *m, struct weir_ndpi_flow *f)
{
	struct ndpi_flow_struct *flow = f->flow;

	/* Emptied in any case: ndpi_flow_free frees what the flow points to as
	 * well, but not with every allocator. */
	ndpi_free_flow_data(flow);
	memset(flow, 0, sizeof(*flow));
	memset(f, 0, sizeof(*f));
	f->flow = flow;
	if (m->spare_count >= SPARE_MAX) {
		flow_destroy(f);
		return;
	}
	f->next = m->spare;
	m->spare = f;
	m->spare_count++;
}

/* A TCP or UDP header that is not all there sends dissectors astray, and so
 * does a datagram without payload in the middle of a flow. */
static int transport_ok(uint8_t protocol, const uint8_t *l4, uint16_t length, int first)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return length >= 20 && (l4[12] >> 4) >= 5 && (l4[12] >> 4) * 4 <= length;
	case IPPROTO_UDP:
		return length > 8 || (first && length == 8);
	default:
		return 1;
	}
}

/* A packet and its transport header, as nDPI itself finds it. */
struct view {
	const uint8_t *packet, *l4;
	uint16_t length, l4_length;
	uint8_t protocol;
};

/* nDPI's own view of the packet decides: dissectors of one transport protocol
 * work on a union that those of another have written, so a packet of another
 * protocol in a live flow crashes all releases seen. */
static int admissible(const struct weir_ndpi_flow *f, struct view *v)
{
	if (ndpi_detection_get_l4(v->packet, v->length, &v->l4, &v->l4_length, &v->protocol, 0) != 0)
		return 0;
	if (v->l4 < v->packet || v->l4 - v->packet > v->length ||
	    v->l4_length > v->length - (v->l4 - v->packet))
		return 0;
	if (f->fed && v->protocol != f->l4_protocol)
		return 0;
	return transport_ok(v->protocol, v->l4, v->l4_length, !f->fed);
}

static int is(const ndpi_protocol *p, uint16_t id)
{
	return application_id(p) == id || master_id(p) == id;
}

static void show(struct weir_ndpi *m, struct weir_ndpi_flow *f, const struct view *v, uint64_t time_ms)
{
	if (time_ms > m->now_ms)
		m->now_ms = time_ms;
	f->l4_protocol = v->protocol;
	f->fed = 1;
	f->found = process_packet(m->module, f->flow, v->packet, v->length, m->now_ms);
}

static void exchange(uint8_t *a, uint8_t *b, size_t size)
{
	uint8_t kept[16];

	memcpy(kept, a, size);
	memcpy(a, b, size);
	memcpy(b, kept, size);
}

/* Turns a packet of TCP round: addresses, ports, sequence and acknowledgement. */
static void turn_round(uint8_t *packet, size_t l4_offset)
{
	size_t address = packet[0] >> 4 == 4 ? 4 : 16;
	uint8_t *source = packet + (packet[0] >> 4 == 4 ? 12 : 8), *tcp = packet + l4_offset;

	exchange(source, source + address, address);
	exchange(tcp, tcp + 2, 2);
	exchange(tcp + 4, tcp + 8, 4);
	tcp[13] = 0x10; /* ACK and nothing else */
}

void weir_ndpi_bare(struct weir_ndpi *m, struct weir_ndpi_flow *f, const uint8_t *packet,
		    uint16_t length, uint64_t time_ms, bool against)
{
	struct view v = {.packet = packet, .length = length};
	size_t headers, said;

	if (!GOES_BY_BARE || !is(&f->found, NDPI_PROTOCOL_HTTP) || !admissible(f, &v) || v.protocol != IPPROTO_TCP)
		return;
	headers = v.l4 - packet + (v.l4[12] >> 4) * 4;
	if (headers > sizeof(m->bare))
		return;
	memcpy(m->bare, packet, headers);
	said = packet[0] >> 4 == 4 ? headers : headers - 40;
	m->bare[packet[0] >> 4 == 4 ? 2 : 4] = said >> 8;
	m->bare[packet[0] >> 4 == 4 ? 3 : 5] = said & 0xff;
	if (against)
		turn_round(m->bare, v.l4 - packet);
	v = (struct view){.packet = m->bare, .length = headers, .protocol = IPPROTO_TCP};
	show(m, f, &v, time_ms);
}

int weir_ndpi_feed(struct weir_ndpi *m, struct weir_ndpi_flow **flow, const uint8_t *packet,
		   uint16_t length, uint64_t time_ms)
{
	struct view v = {.packet = packet, .length = length};
	struct weir_ndpi_flow *f = *flow;
	int state = 0;

	if (!f)
		f = *flow = flow_take(m);
	if (!f)
		return WEIR_NDPI_MEMORY;
	if (admissible(f, &v))
		show(m, f, &v, time_ms);
	else
		state |= WEIR_NDPI_REJECTED;
	if (application_id(&f->found) != NDPI_PROTOCOL_UNKNOWN)
		state |= WEIR_NDPI_KNOWN;
	if (f->fed && extra_possible(m->module, f->flow, &f->found))
		state |= WEIR_NDPI_EXTRA;
	return state;
}

static int is_tls_family(const ndpi_protocol *p)
{
	return is(p, NDPI_PROTOCOL_TLS) || is(p, NDPI_PROTOCOL_DTLS) || is(p, NDPI_PROTOCOL_MAIL_SMTPS) ||
	       is(p, NDPI_PROTOCOL_MAIL_IMAPS) || is(p, NDPI_PROTOCOL_MAIL_POPS) || is(p, NDPI_PROTOCOL_QUIC);
}

/* Copies what fits; limit is the size of from where it is an array, in which
 * nDPI may have left out the final 0. */
static void copy(char *to, size_t size, const char *from, size_t limit)
{
	size_t n;

	if (!from)
		return;
	n = strnlen(from, limit < size - 1 ? limit : size - 1);
	memcpy(to, from, n);
	to[n] = 0;
}

#define COPY_ARRAY(to, from) copy(to, sizeof(to), from, sizeof(from))
#define COPY_TEXT(to, from) copy(to, sizeof(to), from, sizeof(to) - 1)

/* protos is a union: it is read for the protocol that wrote it only. The order
 * of the tests is nfstream's. */
static void collect(struct weir_ndpi_result *r, const struct ndpi_flow_struct *flow, const ndpi_protocol *p)
{
	COPY_ARRAY(r->server_name, flow->host_server_name);
	if (is(p, NDPI_PROTOCOL_DHCP)) {
		COPY_ARRAY(r->client_fingerprint, flow->protos.dhcp.fingerprint);
	} else if (is(p, NDPI_PROTOCOL_HTTP)) {
		COPY_TEXT(r->user_agent, flow->http.user_agent);
		COPY_TEXT(r->content_type, flow->http.content_type);
	} else if (is(p, NDPI_PROTOCOL_SSH)) {
		COPY_ARRAY(r->client_fingerprint, flow->protos.ssh.hassh_client);
		COPY_ARRAY(r->server_fingerprint, flow->protos.ssh.hassh_server);
	} else if (is_tls_family(p)) {
		COPY_ARRAY(r->client_fingerprint, flow->protos.tls_quic.TLS_CLIENT_FINGERPRINT);
		COPY_ARRAY(r->server_fingerprint, flow->protos.tls_quic.ja3_server);
		COPY_TEXT(r->user_agent, flow->http.user_agent);
	}
}

void weir_ndpi_finish(struct weir_ndpi *m, struct weir_ndpi_flow *f, struct weir_ndpi_result *r)
{
	memset(r, 0, sizeof(*r));
	if (f->fed && application_id(&f->found) == NDPI_PROTOCOL_UNKNOWN)
		f->found = give_up(m->module, f->flow, &r->guessed);
	r->confidence = stable_confidence(f->flow);
	protocol_name(m->module, &f->found, r->application_name, sizeof(r->application_name));
	COPY_TEXT(r->category_name, ndpi_category_get_name(m->module, f->found.category));
	collect(r, f->flow, &f->found);
	flow_give_back(m, f);
}
