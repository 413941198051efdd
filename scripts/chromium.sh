#!/usr/bin/env bash
# Prints the path of a Chromium: SLUICE_CHROMIUM, else the first on PATH, else Debian's, which root installs.
#
# Exit code 3: there is none, and none can be had here.
set -euo pipefail

find_chromium() {
  local name
  for name in ${SLUICE_CHROMIUM:-} chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" && return
  done
  return 1
}

# Of several runs at once one installs, and the others wait for it.
exec 9>"${TMPDIR:-/tmp}/sluice-chromium.lock"
flock 9
find_chromium && exit
if [ "${SLUICE_NO_INSTALL:-}" = 1 ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo 'there is no Chromium here; where apt-get is: apt-get install chromium' >&2
  exit 3
fi
apt=(apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
{
  "${apt[@]}" update
  DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends chromium fonts-dejavu-core
} >&2 </dev/null
find_chromium || exit 3
