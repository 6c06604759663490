#!/bin/bash
# host.sh KERNEL-VERSION DIRECTORY [COMMAND...]: boots the systemd machine (host-root.sh) on a cached kernel under emulation, with the files
# of DIRECTORY laid over its root. COMMAND runs there as root, its output is shown as it comes, its exit code is ours. Without
# one the machine says "machine: up" when its sshd answers, and runs until it is switched off or this script is ended.
# 124: out of time. 125: the machine died without an exit code. Nothing that happens in it stays, but over a reboot that was announced
# (`touch /.again && systemctl reboot`).
# Environment: VM_SSH (this port of 127.0.0.1 leads to its sshd), VM_LINE (socket at the far end of ttyS2), VM_TIMEOUT (s), VM_MEM (MiB), VM_SMP, VM_APPEND.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib.sh"
version=$1 files=$(readlink -f "$2")
shift 2
kernel=$(vm_kernel "$version") || { echo "kernel $version is not in the cache" >&2; exit 125; }
root=$("$here/host-root.sh")
w=$(mktemp -d)
emulator=
end() { [ -z "$emulator" ] || kill "$emulator" 2>/dev/null || true; rm -rf "$w"; }
trap end EXIT
trap 'exit 143' TERM INT HUP

# The modules that lead to the root, in their order; the stock kernels have them outside.
tree=$VM_DIR/kernels/$version
(
  flock 9
  [ -e "$tree/lib" ] || ln -s usr/lib "$tree/lib"
  [ -f "$tree/lib/modules/$version/modules.dep" ] || PATH=$PATH:/sbin:/usr/sbin depmod -b "$tree" "$version"
) 9>"$VM_DIR/kernels/lock"
mkdir -p "$w"/i/{bin,dev,proc,sys,m,new}
cp "$(command -v busybox)" "$w/i/bin/busybox"
for module in virtio_pci virtio_blk virtio_net ext4; do
  PATH=$PATH:/sbin:/usr/sbin modprobe -d "$tree" -S "$version" --show-depends --ignore-install $module
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' >"$w/modules"
while read -r path; do
  vm_module "$path" "$w/i/m"
  name=$(basename "$path" .xz)
  echo "${name%.zst}" >>"$w/i/order"
done <"$w/modules"
# The address is set here because there is no udev that networkd would wait for.
cat >"$w/i/init" <<'EOI'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod "/m/$module"; done </order
ip link set lo up; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up
tries=0; until [ -b /dev/vdb ] || [ $tries -eq 100 ]; do usleep 50000; tries=$((tries + 1)); done
mount -t ext4 -o noatime /dev/vda /new || { echo "no root"; poweroff -f; }
# Once: what the machine changed since is its own. A boot that nobody asked for (`touch /.again`) is a crash.
if [ ! -e /new/.laid ]; then tar -x -C /new -f /dev/vdb && touch /new/.laid || { echo "no root"; poweroff -f; }
elif ! rm /new/.again 2>/dev/null; then echo "nobody asked for a reboot" >/dev/console; poweroff -f; fi
umount /proc /sys; mount --move /dev /new/dev
exec switch_root /new /lib/systemd/systemd
EOI
chmod +x "$w/i/init"
touch "$w/i/order"
(cd "$w/i" && find . | cpio -o -H newc --quiet) >"$w/initramfs"

if [ $# -gt 0 ]; then printf '%q ' "$@" >"$w/command"; fi
(cd "$w" && tar -cf files.tar --owner=0 --group=0 -C "$files" . && { [ ! -f command ] || tar -rf files.tar --owner=0 --group=0 command; })
truncate -s %512 "$w/files.tar"
# The kernel's own list of security modules, and bpf.
lsm=$(cat "$tree/boot/config-$version" "$tree/lib/modules/$version/config" 2>/dev/null | sed -n 's/^CONFIG_LSM="\(.*\)"$/\1/p' || true)
case ,$lsm, in *,bpf,*) ;; *) lsm=${lsm:+$lsm,}bpf ;; esac

touch "$w/out"
timeout "${VM_TIMEOUT:-300}" qemu-system-x86_64 -accel "$(vm_accel)" -cpu max -M q35 -m "${VM_MEM:-1024}" -smp "${VM_SMP:-2}" \
  -display none -nodefaults -serial "file:$w/console" -serial "file:$w/out" \
  ${VM_LINE:+-serial "unix:$VM_LINE,server=on,wait=off"} -kernel "$kernel" -initrd "$w/initramfs" \
  -drive "file=$root/root.ext4,format=raw,if=virtio,snapshot=on" -drive "file=$w/files.tar,format=raw,if=virtio,readonly=on" \
  -netdev "user,id=n0,restrict=on${VM_SSH:+,hostfwd=tcp:127.0.0.1:$VM_SSH-10.0.2.15:22}" -device virtio-net-pci,netdev=n0,romfile= \
  -append "console=ttyS0 quiet panic=-1 systemd.show_status=0 lsm=$lsm ${VM_APPEND:-}" </dev/null 2>"$w/qemu" &
emulator=$!
tail -n +1 -f --pid="$emulator" "$w/out" 2>/dev/null | sed -u 's/^@@UP@@$/machine: up/; /^@@EXIT/d; /^$/d' &
shown=$!
q=0
wait "$emulator" || q=$?
emulator=
wait "$shown" || true
rc=$(sed -n 's/^@@EXIT \([0-9]*\) .*/\1/p' "$w/out" | tail -1)
[ -z "$rc" ] || exit "$rc"
# Switched off from inside, after it was up.
if [ "$q" = 0 ] && [ $# -eq 0 ] && grep -q '^@@UP@@' "$w/out" && ! grep -aq 'nobody asked for a reboot' "$w/console"; then exit 0; fi
vm_died "$q" "$w"
