module github.com/weirflow/weir

go 1.26.0

require github.com/cilium/ebpf v0.22.0

require (
	github.com/google/gopacket v1.1.19 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

tool github.com/cilium/ebpf/cmd/bpf2go
