#!/bin/bash
# Records real programs that talk to each other in two network namespaces
# joined by a veth pair: tools/capture/make.sh OUTDIR, as root. Each capture
# lands in OUTDIR/NAME/NAME.pcap. The host's own interfaces and daemons are not
# touched, and nothing is left behind.
set -euo pipefail

out=${1:?usage: make.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
a=weir-cap-a b=weir-cap-b # the client's side, and the server's
a4=192.0.2.1 b4=192.0.2.2 a6=2001:db8:1::1 b6=2001:db8:1::2

missing=0
need() {
	command -v "$1" >/dev/null || { echo "make.sh: $1 is missing: apt-get install $2" >&2; missing=1; }
}
need tcpdump tcpdump
need nginx nginx-light
need curl curl
need dnsmasq dnsmasq-base
need dig bind9-dnsutils
need sshd openssh-server
need ssh openssh-client
need chronyd chrony
need busybox busybox
need avahi-daemon avahi-daemon
need ping iputils-ping
need ethtool ethtool
need openssl openssl
need go golang-go
[ $missing = 0 ] || exit 1
[ "$(id -u)" = 0 ] || { echo "make.sh: namespaces and captures need root" >&2; exit 1; }

tmp=$(mktemp -d)
chmod 755 "$tmp"
children=() tcpdump=
cleanup() {
	for pid in "${children[@]}" $tcpdump; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	ip netns del $a 2>/dev/null || true
	ip netns del $b 2>/dev/null || true
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

in_a() { ip netns exec $a "$@"; }
in_b() { ip netns exec $b "$@"; }

# serve COMMAND...: run it on the server's side until the end.
serve() {
	ip netns exec $b "$@" >>"$tmp/log" 2>&1 &
	children+=($!)
}

# record NAME [FILTER]: begin a capture at the client's end. stop ends it.
record() {
	mkdir -p "$out/$1"
	ip netns exec $a tcpdump -i veth-a -s 0 -U --immediate-mode -w "$out/$1/$1.pcap" ${2:+"$2"} 2>"$tmp/tcpdump" &
	tcpdump=$!
	until grep -q "listening on" "$tmp/tcpdump"; do sleep 0.05; done
}
stop() {
	sleep 0.4
	kill -INT $tcpdump
	wait $tcpdump || true
	tcpdump=
}

network() {
	ip netns add $a
	ip netns add $b
	ip link add veth-a address 02:00:00:00:00:01 netns $a type veth peer name veth-b address 02:00:00:00:00:02 netns $b
	# Frames as they would be on a wire: no segmentation offload, real checksums.
	in_a ethtool -K veth-a tx off tso off gso off gro off >/dev/null
	in_b ethtool -K veth-b tx off tso off gso off gro off >/dev/null
	in_a ip addr add $a4/24 dev veth-a
	in_b ip addr add $b4/24 dev veth-b
	in_a ip addr add $a6/64 dev veth-a nodad
	in_b ip addr add $b6/64 dev veth-b nodad
	for ns in $a $b; do ip netns exec $ns ip link set lo up; done
	in_a ip link set veth-a up
	in_b ip link set veth-b up
	sleep 2 # duplicate address detection and router solicitation die down
}

secrets() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=www.weir.example \
		-addext "subjectAltName=DNS:www.weir.example,DNS:static.weir.example" \
		-keyout "$tmp/key.pem" -out "$tmp/cert.pem" 2>/dev/null
	ssh-keygen -q -t ed25519 -N "" -f "$tmp/host"
	ssh-keygen -q -t ed25519 -N "" -f "$tmp/user"
}

web() {
	mkdir -p "$tmp/www"
	seq 1 8000 >"$tmp/www/numbers.txt"
	echo '<!doctype html><title>weir</title><p>It works.' >"$tmp/www/index.html"
	cat >"$tmp/nginx.conf" <<-EOF
		daemon off; user root; worker_processes 1; pid $tmp/nginx.pid; error_log $tmp/log;
		events {}
		http {
			access_log off; default_type text/html; types { text/plain txt; }
			server { listen 80; listen [::]:80; root $tmp/www; }
			server {
				listen 443 ssl http2; listen [::]:443 ssl http2; root $tmp/www;
				ssl_certificate $tmp/cert.pem; ssl_certificate_key $tmp/key.pem;
				ssl_protocols TLSv1.2 TLSv1.3;
			}
		}
	EOF
	serve nginx -c "$tmp/nginx.conf"
}

names() {
	serve dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--pid-file="$tmp/dnsmasq.pid" --interface=veth-b --bind-interfaces \
		--address=/www.weir.example/$b4 --address=/www.weir.example/$b6 \
		--mx-host=weir.example,mail.weir.example,10 --txt-record=weir.example,"$(printf 'x%.0s' {1..200})" \
		--dhcp-range=192.0.2.100,192.0.2.150,1h --dhcp-leasefile="$tmp/leases"
}

shell() {
	mkdir -p /run/sshd
	cat >"$tmp/sshd_config" <<-EOF
		HostKey $tmp/host
		AuthorizedKeysFile $tmp/user.pub
		StrictModes no
		UsePAM no
		PidFile $tmp/sshd.pid
	EOF
	serve "$(command -v sshd)" -D -e -f "$tmp/sshd_config"
}

clock() {
	printf 'local stratum 8\nallow\ncmdport 0\nbindcmdaddress /\npidfile %s\n' "$tmp/chronyd.pid" >"$tmp/chrony.conf"
	serve chronyd -x -d -u root -f "$tmp/chrony.conf"
}

fetch() {
	in_a curl -sS --cacert "$tmp/cert.pem" --resolve "*:80:$b4" --resolve "*:443:$b4" "$@" >/dev/null
}
fetch6() {
	in_a curl -sS --cacert "$tmp/cert.pem" --resolve "*:80:$b6" --resolve "*:443:$b6" "$@" >/dev/null
}

capture_web() {
	record http1
	fetch --http1.1 http://www.weir.example/ http://www.weir.example/numbers.txt
	fetch --http1.1 http://www.weir.example/absent
	fetch6 --http1.1 http://www.weir.example/
	stop
	record http2-tls13
	fetch --http2 --tlsv1.3 https://www.weir.example/ https://www.weir.example/numbers.txt
	fetch6 --http2 --tlsv1.3 https://static.weir.example/
	stop
	record tls12
	fetch --http1.1 --tls-max 1.2 https://www.weir.example/numbers.txt
	fetch --http1.1 --tls-max 1.2 https://static.weir.example/
	stop
}

capture_names() {
	record dns-udp
	for type in A AAAA; do in_a dig @$b4 www.weir.example $type >/dev/null; done
	in_a dig @$b6 weir.example MX >/dev/null
	in_a dig @$b4 weir.example TXT >/dev/null
	in_a dig @$b4 absent.weir.example >/dev/null
	stop
	record dns-tcp
	in_a dig +tcp @$b4 www.weir.example A >/dev/null
	in_a dig +tcp @$b6 weir.example TXT >/dev/null
	stop
	record dhcp "udp port 67 or udp port 68 or arp"
	in_a busybox udhcpc -i veth-a -n -q -s /bin/true -x hostname:weir -t 3 >>"$tmp/log" 2>&1
	stop
	record mdns "udp port 5353"
	capture_mdns
	stop
}

# Two responders, each with a /run of its own, announce a service; one asks.
capture_mdns() {
	printf '[server]\nuse-iff-running=no\nenable-dbus=no\n[publish]\n' >"$tmp/avahi.conf"
	for side in a b; do
		ns=$a; [ $side = b ] && ns=$b
		sed "s/\[server\]/&\nhost-name=weir-$side/" "$tmp/avahi.conf" >"$tmp/avahi-$side.conf"
		ip netns exec $ns unshare -m sh -c "mount -t tmpfs none /run && mkdir -p /run/avahi-daemon &&
			exec avahi-daemon --no-drop-root --no-chroot --no-proc-title -f '$tmp/avahi-$side.conf'" >>"$tmp/log" 2>&1 &
		children+=($!)
	done
	sleep 3
	in_a dig -p 5353 +time=1 +tries=1 @224.0.0.251 weir-b.local A >/dev/null || true
	kill "${children[-1]}" "${children[-2]}" 2>/dev/null || true # they say goodbye
}

capture_shell() {
	record ssh
	in_a ssh -F /dev/null -i "$tmp/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
		root@$b4 'echo hello; seq 1 500' >/dev/null
	stop
}

capture_clock() {
	record ntp "udp port 123"
	printf 'server %s iburst maxsamples 4\ncmdport 0\nbindcmdaddress /\npidfile %s\n' $b4 "$tmp/ntp-client.pid" >"$tmp/ntp-client.conf"
	in_a chronyd -Q -u root -t 10 -f "$tmp/ntp-client.conf" >>"$tmp/log" 2>&1
	stop
}

capture_icmp() {
	record icmp
	in_a ping -q -c 3 -i 0.2 $b4 >/dev/null
	in_a dig +time=1 +tries=1 -p 54 @$b4 weir.example >/dev/null || true # port unreachable
	in_a ping -q -c 1 -W 1 192.0.2.77 >/dev/null || true                 # ARP without an answer
	stop
	record icmpv6
	in_a ping -q -c 3 -i 0.2 $b6 >/dev/null
	in_a dig +time=1 +tries=1 -p 54 @$b6 weir.example >/dev/null || true
	stop
	record fragments
	in_a ping -q -c 2 -i 0.2 -s 4000 $b4 >/dev/null
	in_a ping -q -c 2 -i 0.2 -s 4000 $b6 >/dev/null
	stop
}

# Peers of our own module, for what no package has.
capture_peers() {
	(cd "$here/peers" && go build -o "$tmp/peers" .)
	serve "$tmp/peers" quic-server "[::]:443" "$tmp/cert.pem" "$tmp/key.pem"
	serve "$tmp/peers" sctp-server $b4 $a4
	sleep 1
	record quic
	in_a "$tmp/peers" quic-client $b4:443 www.weir.example "$tmp/cert.pem" / /again
	in_a "$tmp/peers" quic-client "[$b6]:443" www.weir.example "$tmp/cert.pem" /six
	stop
	record sctp
	in_a "$tmp/peers" sctp-client $a4 $b4
	stop
}

network
secrets
web
names
shell
clock
sleep 1
capture_web
capture_names
capture_shell
capture_clock
capture_icmp
capture_peers
du -cb "$out"/*/*.pcap
