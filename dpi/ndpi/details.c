//go:build cgo && !nodpi

/* SPDX-License-Identifier: Apache-2.0 */
/* What the library keeps of a flow beside its label. */
#include "shim.h"

static int any(const uint8_t *octets, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum |= *octets++;
	return sum != 0;
}

static void collect_tls(const struct ndpi_flow_struct *flow, struct weir_ndpi_details *d)
{
	d->tls_version = flow->protos.tls_quic.ssl_version;
	d->tls_cipher = flow->protos.tls_quic.server_cipher;
	d->certificate_not_before = flow->protos.tls_quic.notBefore;
	d->certificate_not_after = flow->protos.tls_quic.notAfter;
	COPY_TEXT(d->certificate_issuer, flow->protos.tls_quic.issuerDN);
	COPY_TEXT(d->certificate_subject, flow->protos.tls_quic.subjectDN);
	memcpy(d->certificate_sha1, flow->protos.tls_quic.sha1_certificate_fingerprint, sizeof(d->certificate_sha1));
	d->has_certificate_sha1 = any(d->certificate_sha1, sizeof(d->certificate_sha1));
#if NDPI_HAS_BOTH_ALPN
	COPY_TEXT(d->alpn_offered, flow->protos.tls_quic.advertised_alpns);
	COPY_TEXT(d->alpn_chosen, flow->protos.tls_quic.negotiated_alpn);
#endif
#if NDPI_HAS_JA4
	COPY_TEXT(d->ja4, flow->protos.tls_quic.ja4_client);
#endif
}

static void collect_http(const struct ndpi_flow_struct *flow, struct weir_ndpi_details *d)
{
	if (flow->http.method != NDPI_HTTP_METHOD_UNKNOWN)
		COPY_TEXT(d->http_method, ndpi_http_method2str(flow->http.method));
	d->http_status = flow->http.response_status_code;
	COPY_TEXT(d->http_url, flow->http.url);
	COPY_TEXT(d->http_request_content_type, flow->http.request_content_type);
#if NDPI_HAS_HTTP_SERVER
	COPY_TEXT(d->http_server, flow->http.server);
#endif
}

static void collect_ssh(const struct ndpi_flow_struct *flow, struct weir_ndpi_details *d)
{
	COPY_TEXT(d->ssh_client, flow->protos.ssh.client_signature);
	COPY_TEXT(d->ssh_server, flow->protos.ssh.server_signature);
	COPY_TEXT(d->hassh, flow->protos.ssh.hassh_client);
	COPY_TEXT(d->hassh_server, flow->protos.ssh.hassh_server);
}

static void collect_dhcp(const struct ndpi_flow_struct *flow, struct weir_ndpi_details *d)
{
	COPY_TEXT(d->dhcp_fingerprint, flow->protos.dhcp.fingerprint);
	COPY_TEXT(d->dhcp_class, flow->protos.dhcp.class_ident);
}

/* BitTorrent inside of TLS has no hash: the union holds TLS's then. */
static void collect_bittorrent(const struct ndpi_flow_struct *flow, struct weir_ndpi_details *d)
{
	memcpy(d->bittorrent_hash, flow->protos.bittorrent.hash, sizeof(d->bittorrent_hash));
	d->has_bittorrent_hash = any(d->bittorrent_hash, sizeof(d->bittorrent_hash));
}

/* protos is a union: one member is read, that of the protocol which the
 * dissectors found. A guess, from ports or from another flow, says nothing of
 * who wrote it. */
static void collect_protos(const struct ndpi_flow_struct *flow, const ndpi_protocol *p, struct weir_ndpi_details *d)
{
	if (is_tls_family(p))
		collect_tls(flow, d);
	else if (is(p, NDPI_PROTOCOL_SSH))
		collect_ssh(flow, d);
	else if (is(p, NDPI_PROTOCOL_DHCP))
		collect_dhcp(flow, d);
	else if (is(p, NDPI_PROTOCOL_BITTORRENT))
		collect_bittorrent(flow, d);
}

void weir_ndpi_collect_details(module_t *module, const struct weir_ndpi_flow *f, struct weir_ndpi_details *d)
{
	const struct ndpi_flow_struct *flow = f->flow;
	uint16_t id = application_id(&f->found), client, server;

	memset(d, 0, sizeof(*d));
	d->risks = flow->risk;
	if (d->risks)
		d->risk_score = ndpi_risk2score(flow->risk, &client, &server);
	if (id == NDPI_PROTOCOL_UNKNOWN)
		id = master_id(&f->found);
	COPY_TEXT(d->breed, weir_ndpi_breed_name(ndpi_get_proto_breed(module, id)));
	COPY_TEXT(d->operating_system, flow->http.detected_os);
	collect_http(flow, d);
	if (flow->confidence == NDPI_CONFIDENCE_DPI)
		collect_protos(flow, &f->found, d);
}
