# Shared by the scripts here: where things are cached, the configured mirror, a kernel's files by version.
VM_DIR=${VM_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/recorder-vm}

# The mirror that this machine's apt already uses for Debian, without the trailing /debian.
vm_mirror() {
  local uri
  uri=$(awk '/^URIs:/ && /\/debian\/?$/ {print $2; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
  [ -n "$uri" ] || uri=$(awk '$1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /^https?:.*\/debian\/?$/) {print $i; exit}}' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true)
  [ -n "$uri" ] || return 1
  printf '%s\n' "${uri%/}" | sed 's#/debian$##'
}

vm_kernel() {
  local v=$1 r=$VM_DIR/kernels/$1 f
  for f in "$r/boot/vmlinuz-$v" "$r/usr/lib/modules/$v/vmlinuz" "$r/lib/modules/$v/vmlinuz"; do
    [ -f "$f" ] && { echo "$f"; return; }
  done
  return 1
}
