#!/bin/bash
# Prints the path of a Go toolchain that is new enough for go.mod; prints nothing
# and ends with status 1 where there is none.
set -euo pipefail
cd "$(dirname "$0")/../.."
wanted=$(sed -n 's/^go //p' go.mod)

for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-1.*/bin/go /usr/local/go1.*/bin/go; do
	[ -x "$go" ] || continue
	# Asked inside of the module, so that a toolchain that Go would fetch for
	# itself (GOTOOLCHAIN) counts, too.
	have=$("$go" env GOVERSION 2>/dev/null) || continue
	if [ "$(printf '%s\n' "$wanted" "${have#go}" | sort -V | head -n 1)" = "$wanted" ]; then
		echo "$go"
		exit 0
	fi
done
exit 1
