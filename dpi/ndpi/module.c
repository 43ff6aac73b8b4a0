//go:build cgo && !nodpi

/* SPDX-License-Identifier: Apache-2.0 */
/* The library itself, detection modules, and what these know beforehand. */
#include <stdio.h>

#include "shim.h"

const char *weir_ndpi_version(void)
{
	return ndpi_revision();
}

uint16_t weir_ndpi_api_loaded(void)
{
	return ndpi_get_api_version();
}

uint16_t weir_ndpi_api_built(void)
{
	return (uint16_t)NDPI_API_VERSION;
}

void weir_ndpi_release_built(int *major, int *minor)
{
	*major = NDPI_MAJOR;
	*minor = NDPI_MINOR;
}

/* The API number is a sum of 16 bits, which two releases may share. */
int weir_ndpi_matches(void)
{
	char release[32];
	int n = snprintf(release, sizeof(release), "%d.%d.", NDPI_MAJOR, NDPI_MINOR);

	return weir_ndpi_api_loaded() == weir_ndpi_api_built() &&
	       strncmp(ndpi_revision(), release, n) == 0 &&
	       ndpi_detection_get_sizeof_ndpi_flow_struct() == sizeof(struct ndpi_flow_struct);
}

int weir_ndpi_malicious_clients_are_ja4(void)
{
	return malicious_clients_are_ja4();
}

/* Loads the user's files; returns 0, or what is wrong. The library takes lines
 * that it does not understand in silence. */
static int load(module_t *module, const struct weir_ndpi_files *files)
{
	if (files->protocols && ndpi_load_protocols_file(module, files->protocols) < 0)
		return WEIR_NDPI_BAD_PROTOCOLS;
	if (files->categories && load_categories(module, files->categories) < 0)
		return WEIR_NDPI_BAD_CATEGORIES;
	if (files->risk_domains && ndpi_load_risk_domain_file(module, files->risk_domains) < 0)
		return WEIR_NDPI_BAD_RISK_DOMAINS;
	if (files->malicious_clients && load_malicious_clients(module, files->malicious_clients) < 0)
		return WEIR_NDPI_BAD_CLIENTS;
	if (files->malicious_certificates &&
	    ndpi_load_malicious_sha1_file(module, files->malicious_certificates) < 0)
		return WEIR_NDPI_BAD_CERTIFICATES;
	return 0;
}

static int prepare(module_t *module, const struct weir_ndpi_files *files)
{
	int trouble;

	module_enable_all(module);
	trouble = load(module, files);
	if (trouble)
		return trouble;
	return module_finalize(module) == 0 ? 0 : WEIR_NDPI_NOT_READY;
}

struct weir_ndpi *weir_ndpi_open(const struct weir_ndpi_files *files, int *trouble)
{
	struct weir_ndpi *m = calloc(1, sizeof(*m));

	*trouble = WEIR_NDPI_NO_MEMORY;
	if (!m)
		return NULL;
	m->memory_max = UINT64_MAX;
	weir_ndpi_count_memory();
	m->module = module_init();
	if (!m->module) {
		free(m);
		return NULL;
	}
	*trouble = prepare(m->module, files);
	if (*trouble) {
		ndpi_exit_detection_module(m->module);
		free(m);
		return NULL;
	}
	return m;
}

void weir_ndpi_close(struct weir_ndpi *m)
{
	while (m->spare) {
		struct weir_ndpi_flow *f = m->spare;

		m->spare = f->next;
		weir_ndpi_flow_destroy(f);
	}
	ndpi_exit_detection_module(m->module);
	free(m);
}

void weir_ndpi_bound(struct weir_ndpi *m, uint64_t octets)
{
	m->memory_max = octets;
}

const char *weir_ndpi_breed_name(int breed)
{
	switch (breed) {
	case NDPI_PROTOCOL_SAFE:
		return "Safe";
	case NDPI_PROTOCOL_ACCEPTABLE:
		return "Acceptable";
	case NDPI_PROTOCOL_FUN:
		return "Fun";
	case NDPI_PROTOCOL_UNSAFE:
		return "Unsafe";
	case NDPI_PROTOCOL_POTENTIALLY_DANGEROUS:
		return "Potentially Dangerous";
	case NDPI_PROTOCOL_DANGEROUS:
		return "Dangerous";
	case NDPI_PROTOCOL_TRACKER_ADS:
		return "Tracker/Ads";
	default:
		return "Unrated";
	}
}

int weir_ndpi_protocol(struct weir_ndpi *m, int number, struct weir_ndpi_protocol *p)
{
	/* Of a number without a protocol it is the name of number 0. */
	const char *name = ndpi_get_proto_name(m->module, number);

	memset(p, 0, sizeof(*p));
	if (!name || !*name || (number && !strcmp(name, ndpi_get_proto_name(m->module, NDPI_PROTOCOL_UNKNOWN))))
		return 0;
	COPY_TEXT(p->name, name);
	COPY_TEXT(p->category, weir_ndpi_category_name(m, ndpi_get_proto_category(m->module, only_protocol(number))));
	COPY_TEXT(p->breed, weir_ndpi_breed_name(ndpi_get_proto_breed(m->module, number)));
	return 1;
}

const char *weir_ndpi_category_name(struct weir_ndpi *m, int number)
{
	if (number < 0 || number >= NDPI_PROTOCOL_NUM_CATEGORIES)
		return NULL;
	return ndpi_category_get_name(m->module, number);
}

const char *weir_ndpi_risk_name(int bit)
{
	return bit < 0 || bit >= NDPI_MAX_RISK ? NULL : ndpi_risk2str(bit);
}
