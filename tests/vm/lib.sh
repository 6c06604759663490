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

# vm_module PATH DIRECTORY: a kernel's module, unpacked as busybox's insmod wants it.
vm_module() {
  local name
  name=$(basename "$1")
  case $1 in
    *.xz) xz -dc "$1" >"$2/${name%.xz}" ;;
    *.zst) zstd -qdc "$1" >"$2/${name%.zst}" ;;
    *) cp "$1" "$2/$name" ;;
  esac
}

# Emulators before 10 lose an instruction that one processor patches while another translates it, and the guest's kernel dies of a
# breakpoint of its own: a few seconds of `echo 1 >events/enable; echo 0 >events/enable` under load do it, and programs that attach
# hooks sooner or later. There the processors take turns in one thread, which costs a machine about a tenth of its speed.
vm_accel() {
  local major
  major=$(qemu-system-x86_64 --version | sed -n 's/^QEMU emulator version \([0-9]*\)\..*/\1/p')
  if [ "${major:-0}" -ge 10 ]; then echo tcg,thread=multi; else echo tcg,thread=single; fi
}

# vm_died CODE DIRECTORY: tells what is known of a machine that ended without an exit code, the emulator with CODE; exits.
vm_died() {
  local sign='BUG:|Oops|general protection|stack guard|Kernel panic' first
  echo "--- no exit code from the machine; emulator ended with $1; its console:"
  cat "$2/qemu"
  first=$(grep -aEm1 "$sign" "$2/console" || true)
  # The whole of a crash is longer than its end, and the start says what it was.
  if [ -n "$first" ]; then grep -aE -A12 -m1 "$sign" "$2/console"; else tail -25 "$2/console"; fi
  [ -z "$first" ] || echo "FAILED the machine's kernel: $first"
  [ "$1" = 124 ] && exit 124
  exit 125
}
