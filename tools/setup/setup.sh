#!/bin/bash
# Installs through apt what building, testing and the demonstration need and this
# machine lacks: Debian 12 and 13, Ubuntu 24.04. Does nothing, and asks nothing
# of the network, where nothing is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
PATH=$PATH:/usr/sbin:/sbin

build=(build-essential pkg-config git ca-certificates libndpi-dev libpcap-dev libbpf-dev linux-libc-dev clang-19 llvm-19 libclang-rt-19-dev)
tests=(libndpi-bin tcpdump tcpreplay iproute2 ethtool procps strace systemd util-linux libcap2-bin nfdump tshark netbase)
demo=(nginx-light curl dnsmasq-base bind9-dnsutils openssh-server openssh-client iperf3 iputils-ping openssl)

die() {
	echo "setup: $*" >&2
	exit 1
}

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)

# missing prints those of the packages that are not installed. A virtual package
# counts as installed when something provides it.
missing() {
	local package
	for package; do
		dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
	done
}

# quietly runs apt-get with no question asked and no daemon started: the servers
# are wanted inside of namespaces only, never on the host.
policy=/usr/sbin/policy-rc.d
install_packages() {
	local ours=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
		"${sudo[@]}" chmod 755 $policy
		ours=yes
	fi
	local status=0
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o Dpkg::Options::=--force-confold "$@" </dev/null || status=$?
	[ -z "$ours" ] || "${sudo[@]}" rm -f $policy
	return $status
}

# keep_from_booting has the daemons of the packages that were installed just now stay
# away when the machine starts the next time. What was there before is left as it was.
keep_from_booting() {
	local package unit
	for package; do
		case $package in
		nginx-light) set -- nginx.service ;;
		openssh-server) set -- ssh.service ssh.socket ;;
		nfdump) set -- nfdump.service ;;
		*) continue ;;
		esac
		for unit; do
			[ ! -e "/lib/systemd/system/$unit" ] || "${sudo[@]}" systemctl disable -q "$unit" >/dev/null 2>&1 ||
				echo "setup: $unit will run from the next start of this machine on: systemctl disable $unit keeps it from that" >&2
		done
	done
}

updated=
update() {
	[ -n "$updated" ] && return
	"${sudo[@]}" apt-get update -q </dev/null
	updated=yes
}

# go_package prints the newest packaged Go that go.mod accepts.
go_package() {
	local wanted minor
	wanted=$(sed -n 's/^go 1\.\([0-9]*\).*/\1/p' go.mod)
	for minor in $(seq $((wanted + 4)) -1 "$wanted"); do
		# not by grep -q in a pipe: it leaves early, and apt-cache fails for it
		if [[ $(apt-cache policy "golang-1.$minor-go" 2>/dev/null) == *'Candidate: '[0-9]* ]]; then
			echo "golang-1.$minor-go"
			return
		fi
	done
	return 1
}

# backports makes Debian's backports known to apt; its packages are taken only
# when they are named.
backports() {
	. /etc/os-release
	[ "$ID" = debian ] || return 1
	local list=/etc/apt/sources.list.d/weir-backports.list
	echo "deb http://deb.debian.org/debian $VERSION_CODENAME-backports main" | "${sudo[@]}" tee $list >/dev/null
	if "${sudo[@]}" apt-get update -q </dev/null && go_package >/dev/null; then
		return
	fi
	"${sudo[@]}" rm -f $list
	return 1
}

need_go() {
	"$here/go.sh" >/dev/null && return
	update
	go_package >/dev/null || backports ||
		die "Go $(sed -n 's/^go //p' go.mod) or newer is needed and this release packages none: unpack one from https://go.dev/dl/ to /usr/local/go, then run this again"
	local package
	package=$(go_package)
	# From backports or not, with the library of the same release.
	install_packages "$package" "${package%-go}-src"
}

command -v apt-get >/dev/null || die "apt-get is not here: this installs packages of Debian 12 and 13 and Ubuntu 24.04 only"
mapfile -t lacking < <(missing "${build[@]}" "${tests[@]}" "${demo[@]}")
if [ ${#lacking[@]} -gt 0 ]; then
	echo "setup: installing ${lacking[*]}"
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "installing packages needs root, and sudo is not here: run this as root"
	update
	install_packages "${lacking[@]}" || die "apt-get could not install: ${lacking[*]}; its message is above"
	keep_from_booting "${lacking[@]}"
fi
need_go
