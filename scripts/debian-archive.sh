# Unpacks packages of a Debian release without installing them: to be sourced. Exit code 3: there is no Debian here.
#
# apt checks what it downloads: the list of packages against Debian's signature, each package against the list.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The archive that this machine takes its own packages from.
mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' '
}

# Usage: unpack DIRECTORY RELEASE PACKAGE... The packages are in DIRECTORY/root then.
unpack() {
  local dir=$1 release=$2 archive apt package
  shift 2
  archive=$(mirror) || true
  if ! command -v apt-get >/dev/null || [ ! -e "$keyring" ] || [ -z "$archive" ]; then
    echo "this comes from Debian's archive, and this machine does not use it" >&2
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
  (cd "$dir/packages" && "${apt[@]}" download "$@" >&2)
  for package in "$dir"/packages/*.deb; do dpkg -x "$package" "$dir/root"; done
}
