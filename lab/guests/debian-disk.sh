#!/bin/sh
# Makes a bootable BIOS disk of a Debian root archive, as it would stand on VMware: its interface is called ens192,
# and it has a static address. Root is needed (loop devices, chroot). Nothing is left mounted or attached.
#   debian-disk.sh ROOT.tar DISK.raw BYTES
set -eu
archive=$1
disk=$2
bytes=$3
if [ "${VMFERRY_IN_NAMESPACE:-}" != yes ]; then
  # Mounts end with the namespace, whatever happens in it.
  VMFERRY_IN_NAMESPACE=yes exec unshare --mount --propagation private -- "$0" "$@"
fi

root=$(mktemp -d)
loop=
clean() {
  mountpoint -q "$root" && umount -R "$root"
  rmdir "$root"
  if [ -n "$loop" ]; then
    partx -d "$loop" || true
    losetup -d "$loop"
  fi
}
trap clean EXIT

rm -f "$disk"
truncate -s "$bytes" "$disk"
printf 'label: dos\nstart=2048, type=83, bootable\n' | sfdisk -q "$disk"
loop=$(losetup -f --show "$disk")
# The kernel may have made the partition's node already; what counts is that it is there.
partx -a "$loop" 2>/dev/null || true
test -b "${loop}p1"

mkfs.ext4 -q -L root "${loop}p1"
uuid=$(blkid -p -s UUID -o value "${loop}p1")
mount "${loop}p1" "$root"
tar -C "$root" --numeric-owner -xf "$archive"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"

echo "UUID=$uuid / ext4 defaults 0 1" >"$root/etc/fstab"
echo guest >"$root/etc/hostname"
cat >"$root/etc/network/interfaces" <<'NETWORK'
# The loopback interface stays as it is.
auto lo
iface lo inet loopback

allow-hotplug ens192
iface ens192 inet static
    address 198.51.100.20/24
    gateway 198.51.100.1
    dns-nameservers 198.51.100.53
NETWORK

# Under emulation a conversion spends most of its time on the initramfs, a tenth of a second on each process that makes
# it: this one has what its source's disk and this root file system need, and no hook for what is not here.
mkdir -p "$root/etc/initramfs-tools/conf.d"
cat >"$root/etc/initramfs-tools/conf.d/fast" <<'INITRAMFS'
MODULES=list
COMPRESS=gzip
COMPRESSLEVEL=1
FSTYPE=ext4
RESUME=none
INITRAMFS
printf 'ext4\nvmw_pvscsi\nsd_mod\n' >>"$root/etc/initramfs-tools/modules"
for hook in dmsetup fsck keymap resume thermal; do
  rm -f "$root/usr/share/initramfs-tools/hooks/$hook"
done
# Nor does it wait at its start for what nobody asks of it.
for unit in e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  getty@tty1.service serial-getty@ttyS0.service systemd-networkd-wait-online.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

cat >>"$root/etc/default/grub" <<'GRUB'
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=ttyS0 quiet"
GRUB_TERMINAL=serial
GRUB
# It says on the console that it is up, with its addresses.
cat >"$root/etc/systemd/system/tell-addresses.service" <<'UNIT'
[Unit]
Description=Tells the addresses on the console
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for n in 1 2 3 4 5 6 7 8 9 10; do ip -4 -o addr show scope global | grep -q inet && break; sleep 1; done; echo "GUEST-ADDRESSES $(ip -o -4 addr show scope global | tr "\n" ";") END" >/dev/ttyS0'
[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../tell-addresses.service "$root/etc/systemd/system/multi-user.target.wants/tell-addresses.service"

for modules in "$root"/lib/modules/*; do
  chroot "$root" update-initramfs -c -k "${modules##*/}" >/dev/null
done
chroot "$root" grub-install --target=i386-pc --no-floppy "$loop" 2>/dev/null
chroot "$root" update-grub 2>/dev/null
# Without udev the generator knows the loop device only.
sed -i "s#root=/dev/loop[0-9p]*#root=UUID=$uuid#" "$root/boot/grub/grub.cfg"
grep -q "root=UUID=$uuid" "$root/boot/grub/grub.cfg"
fstrim "$root" 2>/dev/null || true
sync -f "$root"
