//go:build cgo && !nodpi

/* SPDX-License-Identifier: Apache-2.0 */
/* A module and the flows under inspection in it. */
#include "shim.h"

/* Flows kept for reuse: at most this many, 700 to 1,200 octets each. */
#define SPARE_MAX 1024

void weir_ndpi_flow_destroy(struct weir_ndpi_flow *f)
{
	ndpi_flow_free(f->flow);
	free(f);
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
	if (m->spare_count >= SPARE_MAX || weir_ndpi_memory() > m->memory_max / 16 * 15) {
		weir_ndpi_flow_destroy(f);
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
	if (weir_ndpi_memory() > m->memory_max)
		state |= WEIR_NDPI_CROWDED;
	return state;
}

/* protos is a union: it is read for the protocol that wrote it only. The order
 * of the tests is nfstream's. */
static void collect(struct weir_ndpi_result *r, const struct ndpi_flow_struct *flow, const ndpi_protocol *p)
{
	COPY_TEXT(r->server_name, flow->host_server_name);
	if (is(p, NDPI_PROTOCOL_DHCP)) {
		COPY_TEXT(r->client_fingerprint, flow->protos.dhcp.fingerprint);
	} else if (is(p, NDPI_PROTOCOL_HTTP)) {
		COPY_TEXT(r->user_agent, flow->http.user_agent);
		COPY_TEXT(r->content_type, flow->http.content_type);
	} else if (is(p, NDPI_PROTOCOL_SSH)) {
		COPY_TEXT(r->client_fingerprint, flow->protos.ssh.hassh_client);
		COPY_TEXT(r->server_fingerprint, flow->protos.ssh.hassh_server);
	} else if (is_tls_family(p)) {
		COPY_TEXT(r->client_fingerprint, flow->protos.tls_quic.TLS_CLIENT_FINGERPRINT);
		COPY_TEXT(r->server_fingerprint, flow->protos.tls_quic.ja3_server);
		COPY_TEXT(r->user_agent, flow->http.user_agent);
	}
}

void weir_ndpi_report(struct weir_ndpi *m, struct weir_ndpi_flow *f, struct weir_ndpi_result *r,
		      struct weir_ndpi_details *d)
{
	memset(r, 0, sizeof(*r));
	r->guessed = f->guessed;
	r->confidence = stable_confidence(f->flow);
	protocol_name(m->module, &f->found, r->application_name, sizeof(r->application_name));
	COPY_TEXT(r->category_name, ndpi_category_get_name(m->module, f->found.category));
	collect(r, f->flow, &f->found);
	if (d)
		weir_ndpi_collect_details(m->module, f, d);
}

void weir_ndpi_finish(struct weir_ndpi *m, struct weir_ndpi_flow *f, struct weir_ndpi_result *r,
		      struct weir_ndpi_details *d)
{
	if (f->fed && application_id(&f->found) == NDPI_PROTOCOL_UNKNOWN)
		f->found = give_up(m->module, f->flow, &f->guessed);
	weir_ndpi_report(m, f, r, d);
	flow_give_back(m, f);
}
