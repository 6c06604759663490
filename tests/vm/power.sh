#!/bin/bash
# power.sh KERNEL-VERSION write|check|hand PEN DIRECTORY [MEMORY]: boots a machine (PEN is a static program) whose only disk is the socket DIRECTORY/disk.sock
# (recorder-powercut), mounts it and runs PEN on it; what that says comes on standard output. This process becomes the emulator,
# so that whoever started it can take the power away; its monitor (QMP) is DIRECTORY/monitor. With MEMORY, a machine's saved memory, it does not
# boot but waits to go on from there. What comes on standard input is the machine's serial line. `no_timer_check`: on a busy host the emulated timer comes late.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
version=$1 what=$2 pen=$3 dir=$4 memory=${5:-}
kernel=$(vm_kernel "$version") || { echo "@@DIED kernel $version is not in the cache"; exit 125; }
tree=$VM_DIR/kernels/$version
if [ ! -f "$dir/initramfs" ]; then
  (
    flock 9
    [ -e "$tree/lib" ] || ln -s usr/lib "$tree/lib"
    [ -f "$tree/lib/modules/$version/modules.dep" ] || PATH=$PATH:/sbin:/usr/sbin depmod -b "$tree" "$version"
  ) 9>"$VM_DIR/kernels/lock"
  mkdir -p "$dir"/i/{bin,dev,proc,sys,m,j}
  cp "$(command -v busybox)" "$dir/i/bin/busybox"
  cp "$pen" "$dir/i/pen"
  strip "$dir/i/pen" 2>/dev/null || true
  for module in virtio_pci virtio_blk ext4 crc32c_generic; do
    PATH=$PATH:/sbin:/usr/sbin modprobe -d "$tree" -S "$version" --show-depends --ignore-install $module 2>/dev/null || true
  done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' >"$dir/modules"
  while read -r path; do
    name=$(basename "$path")
    case $path in
      *.xz) xz -dc "$path" >"$dir/i/m/${name%.xz}" ;;
      *.zst) zstd -qdc "$path" >"$dir/i/m/${name%.zst}" ;;
      *) cp "$path" "$dir/i/m/$name" ;;
    esac
    name=${name%.xz}
    echo "${name%.zst}" >>"$dir/i/order"
  done <"$dir/modules"
  cat >"$dir/i/init" <<'EOI'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod "/m/$module"; done </order
stty -F /dev/ttyS1 raw -echo
tries=0; until [ -b /dev/vda ] || [ $tries -eq 200 ]; do usleep 50000; tries=$((tries + 1)); done
what=$(sed 's/.*pen=\([a-z]*\).*/\1/' /proc/cmdline)
cat /sys/block/vda/queue/write_cache
mount -t ext4 /dev/vda /j || { echo "@@DIED no journal's disk" >/dev/ttyS1; poweroff -f; }
mkdir -p /j/journal
/pen "$what" /j/journal >/dev/ttyS1 </dev/ttyS1
echo "@@DIED pen ended with $?" >/dev/ttyS1
sleep 1000
EOI
  chmod +x "$dir/i/init"
  touch "$dir/i/order"
  (cd "$dir/i" && find . | cpio -o -H newc --quiet) >"$dir/initramfs"
fi
exec qemu-system-x86_64 -accel tcg,thread=multi -cpu max -M q35 -m "${VM_MEM:-512}" -smp 1 -display none -nodefaults -no-reboot \
  -serial "file:$dir/console" -serial stdio -qmp "unix:$dir/monitor,server=on,wait=off" ${memory:+-incoming "exec:cat $memory"} -kernel "$kernel" -initrd "$dir/initramfs" \
  -drive "file=nbd:unix:$dir/disk.sock,format=raw,if=virtio,cache=none" \
  -append "console=ttyS0 quiet panic=-1 no_timer_check pen=$what" 2>"$dir/qemu"
