#!/usr/bin/env bash
# Unpacks nginx, Caddy, HAProxy and Apache from Debian, and prints the directory they are in: usr/sbin/nginx,
# usr/sbin/haproxy, usr/sbin/apache2, usr/bin/caddy; their libraries, and LuaSocket, are in usr/lib. Nothing of the system changes.
#
# Usage: proxies.sh [directory]. Exit code 3: there is no Debian here.
set -euo pipefail
. "$(dirname "$0")/debian-archive.sh"

dir=${1:-${TMPDIR:-/tmp}/sluice-proxies}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

packages=(
  nginx nginx-common libpcre2-8-0 libpcre3
  caddy
  haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libsystemd0 libcap2
  apache2 apache2-bin apache2-data libapr1 libaprutil1 libbrotli1 libcurl4 libexpat1 libjansson4 lua-socket
)

# Of several runs at once one unpacks, and the others wait for it.
exec 9>"$dir/lock"
flock 9
if [ "$(cat "$dir/ready" 2>/dev/null)" != "${packages[*]}" ]; then
  unpack "$dir" bookworm "${packages[@]}"
  export LD_LIBRARY_PATH
  LD_LIBRARY_PATH=$(find "$dir/root" -type d -path '*/lib/*-linux-gnu' | paste -sd :)
  for program in usr/sbin/nginx usr/sbin/haproxy usr/sbin/apache2; do "$dir/root/$program" -v >&2; done
  "$dir/root/usr/bin/caddy" version >&2
  rm -rf "$dir/packages"
  echo "${packages[*]}" >"$dir/ready"
fi
echo "$dir/root"
