/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Keeps in the object's BTF the types that Go needs and that no map or
 * variable names: a pointer to each, read by nobody. */
#ifndef WEIR_EXPORTED_H
#define WEIR_EXPORTED_H

#include "maps.h"
#include "types.h"

#define EXPORT_TYPE(kind, name) \
	const kind name *exported_##name __attribute__((unused))

EXPORT_TYPE(struct, packet);
EXPORT_TYPE(struct, flow_whole);
EXPORT_TYPE(struct, record_event);
EXPORT_TYPE(struct, packet_event);
EXPORT_TYPE(struct, sample_event);
EXPORT_TYPE(struct, sweep_packet);
EXPORT_TYPE(struct, dpi_done);
EXPORT_TYPE(enum, decode_status);
EXPORT_TYPE(enum, link_type);
EXPORT_TYPE(enum, accounting);
EXPORT_TYPE(enum, tunnel_kind);
EXPORT_TYPE(enum, flow_end_reason);
EXPORT_TYPE(enum, flow_direction_id);
EXPORT_TYPE(enum, event_kind);
EXPORT_TYPE(enum, sweep_mode);
EXPORT_TYPE(enum, tcp_end);
EXPORT_TYPE(enum, tcp_known);
EXPORT_TYPE(enum, tcp_handshake);
EXPORT_TYPE(enum, entry_state);

#endif
