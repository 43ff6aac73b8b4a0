#!/bin/bash
# Asks the compiler what the libndpi whose headers are in a directory has, and
# prints -D options for dpi/ndpi/release.h: its release alone does not tell of a
# development snapshot. Prints nothing where there is no compiler yet.
set -euo pipefail

include=$1
cc=${CC:-cc}
command -v ${cc%% *} >/dev/null || exit 0

# Each is a line of C, of which the compiler says whether it is right. The first is
# right with every release.
probes=$(
	cat <<'PROBES'
NOTHING
CONTEXT ndpi_init_detection_module((struct ndpi_global_context *)0);
BITMASK NDPI_PROTOCOL_BITMASK all; NDPI_BITMASK_SET_ALL(all); ndpi_set_protocol_detection_bitmask2(m, &all);
READINESS int ready = ndpi_finalize_initialization(m);
CATEGORY_DATA ndpi_load_categories_file(m, "", (void *)0);
ALLOCATOR ndpi_set_memory_alloction_functions(0, 0, 0, 0, 0, 0, 0, 0);
INPUT p = ndpi_detection_process_packet(m, f, b, 0, 0, 0);
GUESS_SWITCH p = ndpi_detection_giveup(m, f, 1, b);
GUESS_FLAG *b = f->protocol_was_guessed; p = ndpi_detection_giveup(m, f);
STATE *b = p.state == NDPI_STATE_MONITORING || p.state != NDPI_STATE_CLASSIFIED;
PAIR *b = p.proto.app_protocol + p.proto.master_protocol;
JA3 *b = f->protos.tls_quic.ja3_client[0];
JA4 *b = f->protos.tls_quic.ja4_client[0];
BOTH_ALPN *b = f->protos.tls_quic.advertised_alpns[0] + f->protos.tls_quic.negotiated_alpn[0];
HTTP_SERVER *b = f->http.server[0];
CONFIDENCE_IP *b = NDPI_CONFIDENCE_MATCH_BY_IP;
CONFIDENCE_PARTIAL *b = NDPI_CONFIDENCE_DPI_PARTIAL + NDPI_CONFIDENCE_DPI_PARTIAL_CACHE;
CONFIDENCE_NBPF *b = NDPI_CONFIDENCE_NBPF;
CONFIDENCE_AGGRESSIVE *b = NDPI_CONFIDENCE_DPI_AGGRESSIVE;
CONFIDENCE_CUSTOM *b = NDPI_CONFIDENCE_CUSTOM_RULE;
PROBES
)

# program is the headers, and behind them a function on a line for each probe.
program() {
	echo '#include <ndpi_api.h>'
	while IFS=' ' read -r name statements; do
		echo "void probe_$name(struct ndpi_detection_module_struct *m, struct ndpi_flow_struct *f, ndpi_protocol p, uint8_t *b) { $statements }"
	done <<<"$probes"
}

# What is called wrongly or is not there is an error, and what the headers do is
# none of ours.
said=$(program | LC_ALL=C $cc -fsyntax-only -Werror -Wno-unused -Wno-unused-but-set-variable -isystem "$include" -x c - 2>&1) || true
wrong=$(sed -n 's/^<stdin>:\([0-9]*\):.* error: .*/\1/p' <<<"$said" | sort -nu)
if grep -v '^<stdin>:' <<<"$said" | grep -q ' error: ' || grep -qxE '1|2' <<<"$wrong"; then
	echo "the headers in $include do not compile: $said" >&2
	exit 1
fi

line=1
while IFS=' ' read -r name _; do
	line=$((line + 1))
	[ "$name" != NOTHING ] || continue
	if grep -qx $line <<<"$wrong"; then has=0; else has=1; fi
	echo "-DNDPI_HAS_$name=$has"
done <<<"$probes"
