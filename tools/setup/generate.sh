#!/bin/bash
# Compiles the BPF objects anew. With --check, tells whether the committed ones
# are what the sources give, byte for byte, and leaves the tree as it was.
set -euo pipefail
cd "$(dirname "$0")/../.."
go=$(tools/setup/go.sh)
mapfile -t packages < <(grep -rl --include=*.go '^//go:generate go tool bpf2go' bpf tools | xargs -n 1 dirname | sort -u)
[ ${#packages[@]} -gt 0 ]

if [ "${1:-}" != --check ]; then
	for package in "${packages[@]}"; do "$go" generate "./$package"; done
	exit
fi

# Releases of one major compiler have all given the same objects so far: those of
# Debian 12 and 13 (19.1.7) and of Ubuntu 24.04 (19.1.1).
have=$(clang-19 -dumpversion)

# The compilation runs in a copy: an interruption cannot leave half an object.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp --parents go.mod go.sum "$copy"
for package in "${packages[@]}"; do cp -r --parents "$package" "$copy"; done
status=0
compared=0
for package in "${packages[@]}"; do
	(cd "$copy" && "$go" generate "./$package")
	for file in "$package"/*_bpfel.go "$package"/*_bpfel.o; do
		compared=$((compared + 1))
		if ! cmp "$file" "$copy/$file"; then
			echo "check-generate: $file is not what its sources give to clang $have: run make generate and commit the result" >&2
			status=1
		fi
	done
done
[ $status != 0 ] || echo "check-generate: $compared files are as their sources give them to clang $have, byte for byte"
exit $status
