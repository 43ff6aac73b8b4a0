package bpf

// StatusCount is the number of decode statuses, STATUS_OK included.
const StatusCount = int(WeirDecodeStatusSTATUS_COUNT)

var statusNames = [StatusCount]string{
	"ok", "link_truncated", "link_type", "arp", "llc", "not_ip", "vlan_depth", "mpls_depth",
	"extension_depth", "ip_truncated", "ip_malformed", "transport_truncated", "tunnel_depth", "filtered",
	"wifi",
}

// String names a status as the ledger does.
func (s WeirDecodeStatus) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown"
}

var endReasonNames = [...]string{"none", "idle timeout", "active timeout", "end of flow", "forced end", "lack of resources"}

// String names a flow end reason as IPFIX element 136 does.
func (r WeirFlowEndReason) String() string {
	if int(r) < len(endReasonNames) {
		return endReasonNames[r]
	}
	return "unknown"
}
