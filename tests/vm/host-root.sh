#!/bin/bash
# host-root.sh: makes the root of the systemd machine (Debian 12, sshd, sudo, tmux, docker, podman and polkit, the people oncall1 and oncall2), keeps it in the
# cache by this file's hash, and prints its directory: root.ext4, known_hosts, keys/{root,oncall1,oncall2}. The keys are made here and open
# nothing else. Exit 3: it can't be made on this machine.
set -euo pipefail
self=$(readlink -f "$0")
. "$(dirname "$self")/lib.sh"
dir=$VM_DIR/host/$(sha256sum <"$self" | cut -c1-12)
done_already() { [ -f "$dir/root.ext4" ] && touch "$dir" && echo "$dir"; }
done_already && exit 0
[ "$(id -u)" = 0 ] || { echo "making the systemd machine's root takes root" >&2; exit 3; }
mirror=$(vm_mirror) || { echo "no Debian mirror is configured for apt" >&2; exit 3; }
mkdir -p "$VM_DIR/host"
# Two machines that start together make one root.
exec 9>"$VM_DIR/host/lock"
flock 9
done_already && exit 0
w=$(mktemp -d "$VM_DIR/host/.new.XXXXXX")
trap 'rm -rf --one-file-system "$w"' EXIT
t=$w/root
echo "making the systemd machine's root (a minute, once)" >&2
mmdebstrap --quiet --variant=minbase \
  --include=systemd-sysv,dbus,libpam-systemd,openssh-server,openssh-client,sudo,tmux,screen,cron,at,procps,iproute2,vim-tiny,less,docker.io,podman,polkitd,pkexec,busybox-static \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  bookworm "$t" "$mirror/debian" >&2 || { echo "mmdebstrap could not make the root" >&2; exit 3; }

mkdir -p "$w/keys"
for who in root oncall1 oncall2; do
  home=/root
  if [ $who != root ]; then
    home=/home/$who
    chroot "$t" useradd --create-home --shell /bin/bash $who
    echo "$who ALL=(ALL:ALL) NOPASSWD: ALL" >>"$t/etc/sudoers.d/oncall"
  fi
  ssh-keygen -q -t ed25519 -N '' -C "$who@machine" -f "$w/keys/$who"
  install -d -m 700 "$t$home/.ssh"
  install -m 600 "$w/keys/$who.pub" "$t$home/.ssh/authorized_keys"
  chroot "$t" chown -R $who: "$home/.ssh"
done
chmod 440 "$t/etc/sudoers.d/oncall"
sed 's/^/recorder-machine /' "$t"/etc/ssh/ssh_host_*_key.pub >"$w/known_hosts"

echo UseDNS no >"$t/etc/ssh/sshd_config.d/machine.conf"
echo machine >"$t/etc/hostname"
echo '127.0.0.1 localhost machine' >"$t/etc/hosts"
echo 0123456789abcdef0123456789abcdef >"$t/etc/machine-id"
echo '/dev/vda / ext4 defaults,noatime 0 0' >"$t/etc/fstab"
# The disk's files lie in place before systemd starts. /command runs when sshd does, and its exit code ends the machine;
# without one the machine says that it is up, and stays.
cat >"$t/usr/local/sbin/machine" <<'EOI'
#!/bin/bash
stty -F /dev/ttyS1 raw
exec >/dev/ttyS1 2>&1 </dev/null
[ -f /command ] || { printf '\n@@UP@@\n'; exit; }
cd /root && export HOME=/root
(. /command)
printf '\n@@EXIT %s uptime=%s@@\n' $? "$(cut -d' ' -f1 /proc/uptime)"
systemctl --force poweroff
EOI
chmod 755 "$t/usr/local/sbin/machine"
printf '%s\n' '[Unit]' 'After=ssh.service systemd-logind.service' '[Service]' 'ExecStart=/usr/local/sbin/machine' KillMode=process \
  '[Install]' WantedBy=multi-user.target >"$t/etc/systemd/system/machine.service"
chroot "$t" systemctl --quiet enable ssh.service machine.service
# Containers: whoever needs the engine starts it. The root has no modules (bridges, packet filters, overlays), and needs none.
mkdir -p "$t/etc/docker"
echo '{"bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "storage-driver": "vfs"}' >"$t/etc/docker/daemon.json"
(cd "$t/usr/lib/systemd/system" && ls docker.* containerd.* podman*) | while read -r unit; do
  chroot "$t" systemctl --quiet disable "$unit" 2>/dev/null || true
done
# Nothing of its own accord, and nobody on the serial lines.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  getty@tty1.service serial-getty@ttyS0.service systemd-timesyncd.service systemd-networkd-wait-online.service; do
  chroot "$t" systemctl --quiet mask $unit
done
rm -rf "$t"/var/lib/apt/lists/* "$t"/var/cache/apt/*
mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 -d "$t" "$w/root.ext4" "$(($(du -sm "$t" | cut -f1) + 500))M" >&2
rm -rf --one-file-system "$t"
mv "$w" "$dir"
trap - EXIT
# Roots of older recipes that nobody has started for a fortnight.
find "$VM_DIR/host" -mindepth 1 -maxdepth 1 -type d -mtime +14 -exec rm -rf {} +
echo "$dir"
