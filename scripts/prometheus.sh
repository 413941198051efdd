#!/usr/bin/env bash
# Unpacks Prometheus and promtool from Debian, and prints the directory of the programs. Nothing of the system changes.
#
# Usage: prometheus.sh [directory]. Exit code 3: there is no Debian here.
set -euo pipefail
. "$(dirname "$0")/debian-archive.sh"

dir=${1:-${TMPDIR:-/tmp}/sluice-prometheus}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# Of several runs at once one unpacks, and the others wait for it.
exec 9>"$dir/lock"
flock 9
if [ ! -e "$dir/ready" ]; then
  unpack "$dir" bookworm prometheus
  "$dir/root/usr/bin/promtool" --version >&2
  rm -rf "$dir/packages"
  touch "$dir/ready"
fi
echo "$dir/root/usr/bin"
