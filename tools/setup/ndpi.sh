#!/bin/bash
# Finds the libndpi under a prefix, for the Makefile's NDPI_PREFIX. Prints where
# its headers are, where a libndpi.pc was written that names these and its library,
# whatever the prefix has of that kind, and options for the C preprocessor.
#
#   ndpi.sh PREFIX [FOLDER FOR THE .pc]
set -euo pipefail
shopt -s nullglob
here=$(cd "$(dirname "$0")" && pwd)

die() {
	echo "NDPI_PREFIX=$1: $2" >&2
	exit 1
}

[ $# -ge 1 ] && [ -n "$1" ] || die "${1-}" "name the directory that libndpi was installed under"
prefix=$(cd "$1" 2>/dev/null && pwd) || die "$1" "there is no such directory"
[[ $prefix != *[[:space:],]* ]] || die "$1" "make and the linker take no path with a blank or a comma in it"

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

# beyond prints what has to be linked behind a library. One that is shared knows
# for itself; of an archive, the names that it wants tell.
beyond() {
	echo -lm
	[ ! -e "$1/libndpi.so" ] && command -v nm >/dev/null || return 0
	local wanted prefix library
	wanted=$(nm -g "$1/libndpi.a" 2>/dev/null | awk '$1 == "U" { u[$2] } NF == 3 { d[$3] } END { for (n in u) if (!(n in d)) print n }')
	while read -r prefix library; do
		if grep -q "^$prefix" <<<"$wanted"; then echo "-l$library"; fi
	done <<-NAMES
		gcry_ gcrypt
		gpg_ gpg-error
		pcre_ pcre
		pcre2_ pcre2-8
		MMDB_ maxminddb
		pthread_ pthread
	NAMES
}

include=$(found "$prefix"/{,usr/,usr/local/}include/ndpi/ndpi_api.h "$prefix"/include/ndpi_api.h "$prefix"/src/include/ndpi_api.h) ||
	die "$1" "no ndpi_api.h in include/ndpi; install nDPI with ./configure --prefix=$prefix && make install"
lib=$(found "$prefix"/{,usr/,usr/local/}lib{,64}/{,*-linux-gnu*/}libndpi.{so,a} "$prefix"/src/lib/libndpi.{so,a}) ||
	die "$1" "no libndpi.so or libndpi.a in lib; install nDPI with ./configure --prefix=$prefix && make install"
probed=$("$here/probe_ndpi.sh" "$include") || die "$1" "its headers are of no use"

own=${2-$here/../../build/ndpi/$(cksum <<<"$lib" | cut -d ' ' -f 1)}
mkdir -p "$own"
own=$(cd "$own" && pwd)
rpath=-Wl,-rpath,$lib

# The loader looks for the name that is in the library, which a copy may not have.
soname=$(readelf -d "$lib/libndpi.so" 2>/dev/null | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p') || true
if [ -n "$soname" ] && [ ! -e "$lib/$soname" ]; then
	ln -sf "$lib/libndpi.so" "$own/$soname"
	rpath+=" -Wl,-rpath,$own"
fi

cat >"$own/libndpi.pc" <<PC
Name: libndpi
Description: libndpi of NDPI_PREFIX
Version: 0
Cflags: -I$include
Libs: -L$lib $rpath -lndpi $(beyond "$lib" | paste -sd ' ')
PC

# With the headers' sum, a library that was replaced is not taken for the one that
# Go has in its cache: it does not look into headers.
echo "$include" "$own" $probed "-DNDPI_HEADERS=$(cat "$include"/*.h | cksum | cut -d ' ' -f 1)"
