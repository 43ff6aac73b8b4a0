#!/bin/bash
# Prints where the libndpi under a prefix keeps its headers and its library, for
# the Makefile's NDPI_PREFIX: "INCLUDE LIB", both absolute.
set -euo pipefail
shopt -s nullglob

die() {
	echo "NDPI_PREFIX=$1: $2" >&2
	exit 1
}

[ $# = 1 ] && [ -n "$1" ] || die "${1-}" "name the directory that libndpi was installed under"
prefix=$(cd "$1" 2>/dev/null && pwd) || die "$1" "there is no such directory"

# found prints the directory of the first of the files that exists.
found() {
	local file
	for file; do
		if [ -e "$file" ]; then
			dirname "$file"
			return
		fi
	done
	return 1
}

include=$(found "$prefix"/{,usr/,usr/local/}include/ndpi/ndpi_api.h "$prefix"/include/ndpi_api.h "$prefix"/src/include/ndpi_api.h) ||
	die "$1" "no ndpi_api.h in include/ndpi; install nDPI with ./configure --prefix=$prefix && make install"
lib=$(found "$prefix"/{,usr/,usr/local/}lib{,64}/{,*-linux-gnu*/}libndpi.{so,a} "$prefix"/src/lib/libndpi.{so,a}) ||
	die "$1" "no libndpi.so or libndpi.a in lib; install nDPI with ./configure --prefix=$prefix && make install"
echo "$include $lib"
