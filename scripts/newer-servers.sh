#!/usr/bin/env bash
# Unpacks newer servers than the system has, Valkey 8.1 and Redis 8.0 with their own libraries, from a later Debian
# release, and prints the paths of programs that run them. Nothing of the system changes.
#
# apt checks what it downloads: the list of packages against Debian's signature, each package against the list.
# Usage: newer-servers.sh [directory]; then SLUICE_REDIS_SERVER=<path> npm test. Exit code 3: there is no Debian here.
set -euo pipefail

release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
servers=(valkey redis)
packages=(
  valkey-server valkey-tools redis-server redis-tools
  libc6 libssl3t64 libsystemd0 libjemalloc2 liblua5.1-0 lua-cjson lua-bitop liblzf1 libatomic1 libcap2 libgcc-s1
  libstdc++6 libzstd1
)

dir=${1:-${TMPDIR:-/tmp}/sluice-newer-servers}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The archive that this machine takes its own packages from.
mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' '
}

unpack() {
  local archive apt
  archive=$(mirror) || true
  if ! command -v apt-get >/dev/null || [ ! -e "$keyring" ] || [ -z "$archive" ]; then
    echo "newer servers come from Debian's archive, and this machine does not use it" >&2
    exit 3
  fi
  rm -rf "$dir/lists" "$dir/packages" "$dir/root"
  mkdir -p "$dir/lists/partial" "$dir/packages" "$dir/root"
  echo "deb [signed-by=$keyring] $archive $release main" >"$dir/sources.list"
  apt=(
    apt-get -qq -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$dir/lists" -o Acquire::Retries=3 -o Acquire::Languages=none
    -o APT::Sandbox::User=root
  )
  "${apt[@]}" update >&2
  (cd "$dir/packages" && "${apt[@]}" download "${packages[@]}" >&2)
  for package in "$dir"/packages/*.deb; do dpkg -x "$package" "$dir/root"; done
}

# Of several runs at once one unpacks, and the others wait for it.
exec 9>"$dir/lock"
flock 9
if [ ! -e "$dir/ready" ]; then
  unpack
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
