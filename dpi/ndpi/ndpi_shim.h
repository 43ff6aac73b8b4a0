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
	WEIR_NDPI_CROWDED = 16, /* the library holds more than it should */
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
	WEIR_CONFIDENCE_AGGRESSIVE = 8,  /* since 4.8 */
	WEIR_CONFIDENCE_CUSTOM_RULE = 9, /* since 4.10 */
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

/* What else the library learnt of a flow. As above; 0 and empty where it knows
 * nothing, or its release does not. */
struct weir_ndpi_details {
	uint64_t risks; /* bits in the library's numbering, see weir_ndpi_risk_name */
	uint16_t risk_score;
	uint16_t tls_version, tls_cipher;
	uint16_t http_status;
	uint32_t certificate_not_before, certificate_not_after;
	uint8_t has_certificate_sha1, has_bittorrent_hash;
	uint8_t certificate_sha1[20], bittorrent_hash[20];
	char breed[24];
	char ja4[40];
	char alpn_offered[128], alpn_chosen[64];
	char certificate_issuer[256], certificate_subject[256];
	char http_method[24], http_url[1024], http_server[128], http_request_content_type[64];
	char operating_system[64];
	char ssh_client[48], ssh_server[48], hassh[33], hassh_server[33];
	char dhcp_fingerprint[48], dhcp_class[48];
};

/* A protocol that the library knows. */
struct weir_ndpi_protocol {
	char name[40], category[24], breed[24];
};

/* Files in the library's formats; NULL for none. */
struct weir_ndpi_files {
	const char *protocols, *categories, *risk_domains, *malicious_clients, *malicious_certificates;
};

/* Why weir_ndpi_open gave no module. */
enum weir_ndpi_trouble {
	WEIR_NDPI_NO_MEMORY = 1,
	WEIR_NDPI_NOT_READY, /* finalizing failed */
	WEIR_NDPI_BAD_PROTOCOLS,
	WEIR_NDPI_BAD_CATEGORIES,
	WEIR_NDPI_BAD_RISK_DOMAINS,
	WEIR_NDPI_BAD_CLIENTS,
	WEIR_NDPI_BAD_CERTIFICATES,
};

/* The revision of the library that is loaded, as "4.2.0" or "4.8.0-4469-ae85ff1". */
const char *weir_ndpi_version(void);

/* API numbers, of the library that is loaded and of the headers that this was
 * built with, and the release of these. */
uint16_t weir_ndpi_api_loaded(void);
uint16_t weir_ndpi_api_built(void);
void weir_ndpi_release_built(int *major, int *minor);

/* Whether the library that is loaded is the one whose headers this was built
 * with: 1, else 0. Nothing below may be called when it is not. */
int weir_ndpi_matches(void);

/* Whether the file of malicious clients has JA4, not JA3. */
int weir_ndpi_malicious_clients_are_ja4(void);

/* A module with nDPI's defaults, all protocols and the user's files, or NULL;
 * *trouble says why. Making and destroying modules must not run in parallel. */
struct weir_ndpi *weir_ndpi_open(const struct weir_ndpi_files *files, int *trouble);
void weir_ndpi_close(struct weir_ndpi *m);

/* From how many octets on, held for all modules of the process, a flow's state says
 * that it is crowded; and how many they are, as counted or exactly, which takes
 * longer. */
void weir_ndpi_bound(struct weir_ndpi *m, uint64_t octets);
uint64_t weir_ndpi_memory(void);
uint64_t weir_ndpi_memory_exact(void);

/* Fills in the protocol of the number, returns 0 where there is none. Numbers
 * are below WEIR_NDPI_PROTOCOLS_MAX and mean nothing outside of this process. */
#define WEIR_NDPI_PROTOCOLS_MAX 4096
int weir_ndpi_protocol(struct weir_ndpi *m, int number, struct weir_ndpi_protocol *p);

/* The name of the category or of the risk, NULL past the last. */
const char *weir_ndpi_category_name(struct weir_ndpi *m, int number);
const char *weir_ndpi_risk_name(int bit);

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

/* Fills in what is known of the flow so far; d may be NULL. */
void weir_ndpi_report(struct weir_ndpi *m, struct weir_ndpi_flow *flow, struct weir_ndpi_result *r,
		      struct weir_ndpi_details *d);

/* Ends inspection: guesses where nothing was found, fills in the result, and
 * the details if d is not NULL, and gives the flow back. */
void weir_ndpi_finish(struct weir_ndpi *m, struct weir_ndpi_flow *flow, struct weir_ndpi_result *r,
		      struct weir_ndpi_details *d);

#endif
