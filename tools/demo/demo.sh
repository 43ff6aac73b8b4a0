#!/bin/bash
# Shows weir at its main job: tools/demo/demo.sh WEIR. Two network namespaces,
# joined by a veth pair, hold real servers and clients; weir meters the servers'
# end in native XDP. Then it meters a bundled capture. The host's own interfaces,
# daemons and configuration are not touched, and nothing is left behind.
set -euo pipefail

weir=$(realpath "${1:?usage: demo.sh WEIR}")
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" != 0 ]; then
	exec sudo "$0" "$weir"
fi

a=weir-demo-$$-clients b=weir-demo-$$-servers
a4=192.0.2.1 b4=192.0.2.2 a6=2001:db8:1::1 b6=2001:db8:1::2
host=www.weir.example
duration=16s idle=2s
tmp=$(mktemp -d)
chmod 755 "$tmp"

# Everything that runs in the namespaces ends with them.
cleanup() {
	trap '' INT TERM HUP
	local ns pids
	for ns in $a $b; do
		pids=$(ip netns pids $ns 2>/dev/null || true)
		[ -z "$pids" ] || kill $pids 2>/dev/null || true
	done
	[ -z "${traffic:-}" ] || kill "$traffic" 2>/dev/null || true
	for ns in $a $b; do
		for _ in {1..50}; do
			pids=$(ip netns pids $ns 2>/dev/null || true)
			[ -n "$pids" ] || break
			sleep 0.1
		done
		[ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
		ip netns del $ns 2>/dev/null || true
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
client() { ip netns exec $a timeout 10 "$@"; }
server() { ip netns exec $b "$@" >>"$tmp/servers.log" 2>&1 </dev/null & }

network() {
	ip netns add $a
	ip netns add $b
	ip link add veth0 netns $a type veth peer name veth0 netns $b
	for ns in $a $b; do
		# Frames as they would be on a wire. Sent ones are metered before they are
		# cut, so that TCP must not hand over more than one at a time, either.
		ip netns exec $ns ethtool -K veth0 tx off tso off gso off gro off >/dev/null
		ip -n $ns link set veth0 gso_max_segs 1
		ip -n $ns link set lo up
	done
	ip -n $a addr add $a4/24 dev veth0
	ip -n $b addr add $b4/24 dev veth0
	ip -n $a addr add $a6/64 dev veth0 nodad
	ip -n $b addr add $b6/64 dev veth0 nodad
	ip -n $a link set veth0 up
	ip -n $b link set veth0 up
}

web() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=$host \
		-addext "subjectAltName=DNS:$host" -keyout "$tmp/key.pem" -out "$tmp/cert.pem" 2>/dev/null
	mkdir "$tmp/www"
	seq 1 100000 >"$tmp/www/index.html"
	cat >"$tmp/nginx.conf" <<-CONF
		daemon off; user root; worker_processes 1; pid $tmp/nginx.pid; error_log $tmp/servers.log;
		events {}
		http {
			access_log off; root $tmp/www;
			server {
				listen 80; listen [::]:80;
				listen 443 ssl http2; listen [::]:443 ssl http2;
				ssl_certificate $tmp/cert.pem; ssl_certificate_key $tmp/key.pem;
			}
		}
	CONF
	server nginx -e "$tmp/servers.log" -c "$tmp/nginx.conf"
}

shell() {
	ssh-keygen -q -t ed25519 -N "" -f "$tmp/host"
	ssh-keygen -q -t ed25519 -N "" -f "$tmp/user"
	mkdir -p /run/sshd # sshd's own, where its service would make it
	cat >"$tmp/sshd.conf" <<-CONF
		HostKey $tmp/host
		AuthorizedKeysFile $tmp/user.pub
		StrictModes no
		UsePAM no
		PidFile none
	CONF
	server "$(command -v sshd)" -D -e -f "$tmp/sshd.conf"
}

servers() {
	web
	shell
	server dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file \
		--interface=veth0 --bind-interfaces --address=/$host/$b4 --address=/$host/$b6
	server iperf3 -s
	local port
	for port in 80 443 22 53 5201; do
		for _ in {1..100}; do
			[ -z "$(ip netns exec $b ss -Hlnt "sport = :$port")" ] || continue 2
			sleep 0.05
		done
		echo "demo: no server listens at port $port:" >&2
		cat "$tmp/servers.log" >&2
		exit 1
	done
}

# try COMMAND...: one exchange; what fails is told at the end.
try() {
	client "$@" >/dev/null 2>"$tmp/error" || echo "$*: $(tail -n 1 "$tmp/error")" >>"$tmp/failed"
}

fetch() { try curl -sS --cacert "$tmp/cert.pem" --resolve "*:80:$1" --resolve "*:443:$1" "$2"; }

clients() {
	until ip -n $b -d link show veth0 | grep -q xdp; do sleep 0.1; done
	local address
	for address in $b4 $b6; do
		try ping -q -c 3 -i 0.2 $address
		try dig +tries=1 @$address $host A
		try dig +tries=1 @$address $host AAAA
		fetch $([ $address = $b4 ] && echo $b4 || echo "[$b6]") http://$host/
		fetch $([ $address = $b4 ] && echo $b4 || echo "[$b6]") https://$host/
		try ssh -F /dev/null -i "$tmp/user" -o BatchMode=yes -o StrictHostKeyChecking=no \
			-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@$address "seq 1 1000"
		try iperf3 -c $address -t 1 -b 200M
		try iperf3 -c $address -t 1 -b 20M -u
	done
}

# closes tells whether the ledger of a summary closes: a residual for each
# of its four lines, all of them 0.
closes() {
	awk '$1 == "residual" { lines++; if ($2 != 0 || $3 != 0 && NF > 2) open = 1 } END { exit open || lines < 4 }' "$1"
}

network
servers
title "Live: servers and clients in two namespaces, native XDP for $duration; flows are shown when idle for $idle"
clients &
traffic=$!
mkfifo "$tmp/said"
tee "$tmp/summary" <"$tmp/said" >&2 &
showing=$!
ip netns exec $b "$weir" attach veth0 --xdp-mode native --direction both \
	--idle-timeout $idle --duration $duration --output table:- 2>"$tmp/said" &
metering=$!
status=0
wait $metering || status=$? # a trap runs while this waits
wait $showing || true
if [ $status = 0 ] && ! closes "$tmp/summary"; then
	echo "demo: the ledger does not close" >&2
	status=1
fi
if kill -0 $traffic 2>/dev/null; then
	echo "demo: the clients were not done in $duration" >&2
	status=$((status ? status : 1))
fi
if [ -s "$tmp/failed" ]; then
	echo "demo: not all of the clients got an answer:" >&2
	cat "$tmp/failed" >&2
	status=$((status ? status : 1))
fi
[ $status = 0 ] || exit $status

title "A file: weir replay testdata/quic/quic.pcap"
"$weir" replay --output table:- testdata/quic/quic.pcap
