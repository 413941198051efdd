#!/usr/bin/env bash
# Unpacks newer servers than the system has, Valkey 8.1 and Redis 8.0 with their own libraries, from a later Debian
# release, and prints the paths of programs that run them. Nothing of the system changes.
#
# Usage: newer-servers.sh [directory]; then SLUICE_REDIS_SERVER=<path> npm test. Exit code 3: there is no Debian here.
set -euo pipefail
. "$(dirname "$0")/debian-archive.sh"

release=trixie
servers=(valkey redis)
packages=(
  valkey-server valkey-tools redis-server redis-tools
  libc6 libssl3t64 libsystemd0 libjemalloc2 liblua5.1-0 lua-cjson lua-bitop liblzf1 libatomic1 libcap2 libgcc-s1
  libstdc++6 libzstd1
)

dir=${1:-${TMPDIR:-/tmp}/sluice-newer-servers}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# Of several runs at once one unpacks, and the others wait for it.
exec 9>"$dir/lock"
flock 9
if [ ! -e "$dir/ready" ]; then
  unpack "$dir" "$release" "${packages[@]}"
  loader=$(find "$dir/root" -name 'ld-linux-*.so.*' | head -n 1)
  for name in "${servers[@]}"; do
    cat >"$dir/$name-server" <<RUN
#!/bin/sh
exec "$loader" --library-path "$(dirname "$loader")" --argv0 $name-server "$dir/root/usr/bin/$name-server" "\$@"
RUN
    chmod +x "$dir/$name-server"
    "$dir/$name-server" --version >&2
  done
  touch "$dir/ready"
fi
for name in "${servers[@]}"; do echo "$dir/$name-server"; done
