#!/bin/bash
# get-kernel.sh SUITE REPOSITORY PACKAGE: downloads and unpacks a stock Debian kernel from a suite of the configured mirror into
# the cache, and prints its version. Neither apt's configuration nor dpkg's database is touched. One that is there is kept
# for a week. Exit 3: the mirror has no such suite or package.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
suite=$1 repository=$2 meta=$3
key=/usr/share/keyrings/debian-archive-keyring.gpg
dir=$VM_DIR/suites/$suite
stamp=$dir/$meta.version
if [ -n "$(find "$stamp" -mtime -7 2>/dev/null)" ] && vm_kernel "$(cat "$stamp")" >/dev/null; then
  cat "$stamp"
  exit 0
fi
mirror=$(vm_mirror) || { echo "no Debian mirror is configured for apt" >&2; exit 3; }
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$VM_DIR/debs" "$VM_DIR/kernels"
echo "deb [signed-by=$key] $mirror/$repository $suite main" >"$dir/sources.list"
apt=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$dir/lists"
  -o "Dir::Cache=$dir/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root
  -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none)

# An old copy still serves while the mirror is away.
old() {
  [ -f "$stamp" ] && vm_kernel "$(cat "$stamp")" >/dev/null || return 1
  cat "$stamp"
}
if ! apt-get "${apt[@]}" -qq update >&2; then
  old && exit 0
  echo "the mirror has no suite $suite" >&2
  exit 3
fi
# A metapackage names the concrete one.
package=$(apt-cache "${apt[@]}" show "$meta" 2>/dev/null |
  awk -F'[ ,]+' '/^Depends:/ {for (i = 2; i <= NF; i++) if ($i ~ /^linux-image-[0-9]/) {print $i; exit}}' | head -1)
[ -n "$package" ] || package=$meta
version=${package#linux-image-}
if ! vm_kernel "$version" >/dev/null; then
  fetch() {
    (cd "$VM_DIR/debs" && apt-get "${apt[@]}" -qq download "$1" >&2) && ls -t "$VM_DIR/debs/${1}_"*.deb | head -1
  }
  deb=$(fetch "$package") || { old && exit 0; echo "suite $suite has no $package" >&2; exit 3; }
  fresh=$VM_DIR/kernels/.$version.$$
  trap 'rm -rf "$fresh"' EXIT
  dpkg-deb -x "$deb" "$fresh"
  # From 6.17 on the image is spread over several packages.
  for extra in "linux-base-$version" "linux-binary-$version" "linux-modules-$version"; do
    if dpkg-deb -f "$deb" Depends | grep -qF "$extra "; then dpkg-deb -x "$(fetch "$extra")" "$fresh"; fi
  done
  rm -rf "${VM_DIR:?}/kernels/$version"
  mv "$fresh" "$VM_DIR/kernels/$version"
fi
echo "$version" >"$stamp"
echo "$version"
