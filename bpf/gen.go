package bpf

// The compiler is pinned by its major version so that a rebuild gives the
// committed object again; CI compares the two.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package bpf -type flow_key -type packet -type tcp_direction -type ip_direction -type flow_core -type flow_end -type flow_ip -type flow_tcp -type flow_statistics -type flow_flags -type flow_vectors -type flow_whole -type flow_entry -type record_event -type packet_event -type sample_event -type ledger -type sweep -type sweep_packet -type sweep_walk -type dpi_done -type consumer_progress -type decode_status -type link_type -type accounting -type tunnel_kind -type flow_end_reason -type flow_direction_id -type event_kind -type sweep_mode -type tcp_end -type tcp_known -type tcp_handshake -type entry_state Weir weir.bpf.c -- -O2 -g -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-parameter -mcpu=v3 -I/usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package bpf WeirCopied weir.bpf.c -- -O2 -g -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-parameter -mcpu=v2 -I/usr/include/x86_64-linux-gnu -DFRAME_COPIED -mllvm -sink-common-insts=false -mllvm -hoist-common-insts=false
