#!/bin/bash
# Installs the emulator, and fetches and unpacks the kernel that the tests are run
# on: Debian 12's 6.1. Prints the path of its image. With an argument, that is the
# image, and no kernel is fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
series=6.1
dir=$PWD/build/vm/kernel

die() {
	echo "test-vm: $*" >&2
	exit 1
}

[ "$(uname -m)" = x86_64 ] || die "this builds the tests for amd64 and machine is $(uname -m): run it on amd64"

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
updated=
update() {
	[ -n "$updated" ] && return
	"${sudo[@]}" apt-get update -q </dev/null >&2
	updated=yes
}

lacking=()
command -v qemu-system-x86_64 >/dev/null || lacking+=(qemu-system-x86)
command -v cpio >/dev/null || lacking+=(cpio)
if [ ${#lacking[@]} -gt 0 ]; then
	echo "test-vm: installing ${lacking[*]}" >&2
	update
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${lacking[@]}" </dev/null >&2 ||
		die "apt-get could not install: ${lacking[*]}; its message is above"
fi

if [ $# -gt 0 ]; then
	[ -r "$1" ] || die "there is no kernel image to read at KERNEL=$1"
	realpath "$1"
	exit
fi

# newest prints the release's newest kernel package: what its metapackage depends on.
newest() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1
}

package=$(newest || true)
if [ -z "$package" ]; then
	update
	package=$(newest || true)
fi
case $package in
linux-image-$series.*) ;;
*) die "this release packages ${package:-no linux-image-cloud-amd64} and no Linux $series: unpack Debian 12's linux-image-$series package with dpkg-deb -x and run make test-vm KERNEL=DIRECTORY/boot/vmlinuz-..." ;;
esac

image=$dir/boot/vmlinuz-${package#linux-image-}
if [ ! -e "$image" ]; then
	echo "test-vm: fetching $package" >&2
	rm -rf "$dir"
	mkdir -p "$dir"
	cd "$dir"
	download() { apt-get download -q -o APT::Sandbox::User="$(id -un)" "$package" >&2; }
	download || { update && download; } || die "apt-get could not download $package; its message is above"
	dpkg-deb -x ./*.deb .
	rm ./*.deb
fi
echo "$image"
