#!/bin/bash
# boot.sh KERNEL-VERSION DIRECTORY COMMAND...: boots a cached kernel under emulation with a throw-away initramfs that holds busybox and
# the files of DIRECTORY at /, runs COMMAND there as root (not as process 1), shows its output as it comes and exits with its
# exit code. 124: out of time. 125: the machine died without an exit code.
# Environment: VM_TIMEOUT (s), VM_MEM (MiB), VM_SMP, VM_APPEND (kernel command line).
#
# Emulation on purpose: /dev/kvm may exist and be unusable, and a suite must not depend on it.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
version=$1 files=$2
shift 2
kernel=$(vm_kernel "$version") || { echo "kernel $version is not in the cache" >&2; exit 125; }
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
mkdir -p "$w"/i/{bin,dev,proc,sys,tmp,run,etc,root,home}
cp "$(command -v busybox)" "$w/i/bin/busybox"
cp -r "$files/." "$w/i/"
# A file system on another one, which stock kernels have outside.
overlay=$(find "$VM_DIR/kernels/$version" -name 'overlay.ko*' | head -1)
[ -z "$overlay" ] || vm_module "$overlay" "$w/i"
printf '%q ' "$@" >"$w/i/command"
cat >"$w/i/init" <<'EOI'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666,mode=620 pts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t tmpfs -o mode=1777,size=80% tmp /tmp; mount -t tmpfs run /run
mount -t securityfs sec /sys/kernel/security; mount -t tracefs trace /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf; mount -t cgroup2 cg /sys/fs/cgroup
hostname vm; ip link set lo up
[ ! -f /overlay.ko ] || insmod /overlay.ko
echo "root:x:0:0:root:/root:/bin/sh" >/etc/passwd; echo "root:x:0:" >/etc/group
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
stty -F /dev/ttyS1 raw
( . /command ) >/dev/ttyS1 2>&1 </dev/null; rc=$?
printf "\n@@EXIT %s uptime=%s@@\n" $rc $(cut -d" " -f1 /proc/uptime) >/dev/ttyS1
sync; poweroff -f
EOI
chmod +x "$w/i/init"
(cd "$w/i" && find . | cpio -o -H newc --quiet) >"$w/initramfs"
set +e
timeout "${VM_TIMEOUT:-300}" qemu-system-x86_64 -accel "$(vm_accel)" -cpu max -M q35 -m "${VM_MEM:-3072}" \
  -smp "${VM_SMP:-2}" -display none -nodefaults -no-reboot -serial "file:$w/console" -serial stdio \
  -kernel "$kernel" -initrd "$w/initramfs" -append "console=ttyS0 quiet panic=-1 ${VM_APPEND:-}" \
  </dev/null 2>"$w/qemu" | tee "$w/out" | sed -u '/^@@EXIT/d; /^$/d'
q=${PIPESTATUS[0]}
set -e
rc=$(sed -n 's/^@@EXIT \([0-9]*\) .*/\1/p' "$w/out" | tail -1)
if [ -n "$rc" ]; then
  # Killed from outside: by the kernel when memory ran out, and only its console says so.
  [ "$rc" -ne 137 ] || tail -25 "$w/console"
  exit "$rc"
fi
vm_died "$q" "$w"
