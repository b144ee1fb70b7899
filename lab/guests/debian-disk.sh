#!/bin/sh
# Makes a bootable disk of a Debian root archive, as it would stand on VMware: its interface is called ens192, and it
# has a static address. Root is needed (loop devices, chroot). Nothing is left mounted or attached.
#   debian-disk.sh KIND ROOT.tar DISK.raw BYTES [PASSPHRASE]
# KIND: bios, one ext4; uefi, with the loader at EFI/debian and no fallback path; luks, a BIOS disk with a plain /boot
# and the root file system in a LUKS of that passphrase, which its initramfs asks for on the console at each start.
# Says nothing if all went well; else which step did not, its status, and what it said.
set -eu
kind=$1
archive=$2
disk=$3
bytes=$4
passphrase=${5:-}
if [ "${VMFERRY_IN_NAMESPACE:-}" != yes ]; then
  # Mounts end with the namespace, whatever happens in it.
  VMFERRY_IN_NAMESPACE=yes exec unshare --mount --propagation private -- "$0" "$@"
fi

root=$(mktemp -d)
said=$(mktemp)
loop=
exec 3>&2 >>"$said" 2>&1
step=
begin() {
  step=$1
  : >"$said"
}
end() {
  status=$?
  trap - EXIT
  if [ "$status" -ne 0 ]; then
    echo "debian-disk.sh $kind: $step failed with status $status" >&3
    head -n 40 "$said" >&3
  fi
  if mountpoint -q "$root"; then umount -R "$root"; fi
  rmdir "$root"
  if [ -n "$loop" ]; then
    partx -d "$loop" || true
    losetup -d "$loop"
  fi
  rm -f "$said" "$disk.system" "$disk.luks" "$disk.key" "$disk.esp"
  exit "$status"
}
trap end EXIT

uuid_of() { blkid -p -s UUID -o value "$1"; }

begin 'partitioning the disk'
rm -f "$disk"
truncate -s "$bytes" "$disk"
case $kind in
bios) printf 'label: dos\nstart=2048, type=83, bootable\n' | sfdisk -q "$disk" ;;
uefi) printf 'label: gpt\nstart=2048, size=65536, type=uefi\ntype=linux\n' | sfdisk -q "$disk" ;;
luks) printf 'label: dos\nstart=2048, size=393216, type=83, bootable\ntype=83\n' | sfdisk -q "$disk" ;;
esac
loop=$(losetup -f --show "$disk")
# The kernel may have made the partition's node already; what counts is that it is there.
partx -a "$loop" || true
last="${loop}p1"
[ "$kind" = bios ] || last="${loop}p2"
test -b "$last"

begin 'making the file systems'
system=$last
if [ "$kind" = luks ]; then
  # Not every kernel has a device mapper: the file system is made beside the disk, and qemu-img encrypts it.
  system=$disk.system
  system_bytes=$((($(blockdev --getsize64 "$last") / 1048576 - 4) * 1048576))
  truncate -s "$system_bytes" "$system"
  printf %s "$passphrase" >"$disk.key"
  # It measures how fast this machine is by a clock that may not tick meanwhile; then it gives up, and may be asked again.
  tries=0
  until qemu-img create -q -f luks --object "secret,id=key,file=$disk.key" -o key-secret=key,iter-time=10 \
    "$disk.luks" "$system_bytes"; do
    tries=$((tries + 1))
    [ "$tries" -lt 20 ]
  done
fi
mkfs.ext4 -q -L root "$system"
uuid=$(uuid_of "$system")
mount "$system" "$root"
if [ "$kind" = luks ]; then
  mkfs.ext4 -q -L boot "${loop}p1"
  mkdir "$root/boot"
  mount "${loop}p1" "$root/boot"
fi
begin 'unpacking the archive'
tar -C "$root" --numeric-owner -xf "$archive"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"

begin 'writing its configuration'
echo "UUID=$uuid / ext4 defaults 0 1" >"$root/etc/fstab"
case $kind in
uefi)
  # The kernel at hand need not know FAT: the file system is made in a file, by mtools.
  esp=$disk.esp
  rm -f "$esp"
  mkfs.vfat -n ESP -C "$esp" 32768 >/dev/null
  echo "UUID=$(uuid_of "$esp") /boot/efi vfat umask=0077 0 1" >>"$root/etc/fstab"
  mkdir -p "$root/boot/efi"
  ;;
luks)
  echo "UUID=$(uuid_of "${loop}p1") /boot ext4 defaults 0 1" >>"$root/etc/fstab"
  crypttab="system UUID=$(uuid_of "$disk.luks") none luks"
  # Its root file system is in no LUKS while the initramfs is made here: that it is needed has to be told.
  echo "$crypttab,initramfs" >"$root/etc/crypttab"
  ;;
esac
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
# Which ciphers a LUKS needs is asked of one that is open under its own name; that of a conversion has another.
[ "$kind" != luks ] || printf 'dm_crypt\nxts\necb\naesni_intel\n' >>"$root/etc/initramfs-tools/modules"
for hook in fsck keymap resume thermal; do
  rm -f "$root/usr/share/initramfs-tools/hooks/$hook"
done
# Without its rules for udev, who opens a LUKS in the initramfs would wait for udev's word for ever.
[ "$kind" = luks ] || rm -f "$root/usr/share/initramfs-tools/hooks/dmsetup"
# Nor does it wait at its start for what nobody asks of it.
for unit in e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  getty@tty1.service serial-getty@ttyS0.service systemd-networkd-wait-online.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# Its processes have the same addresses each time: an emulator translates their code once.
cat >>"$root/etc/default/grub" <<'GRUB'
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=ttyS0 quiet norandmaps"
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

begin 'making the initramfs'
for modules in "$root"/lib/modules/*; do
  chroot "$root" update-initramfs -c -k "${modules##*/}"
done
[ "$kind" != luks ] || echo "$crypttab" >"$root/etc/crypttab"

begin 'installing the boot loader'
if [ "$kind" = uefi ]; then
  mkdir -p "$root/boot/grub"
  cp -r "$root/usr/lib/grub/x86_64-efi" "$root/boot/grub/"
  chroot "$root" grub-mkimage -O x86_64-efi -p /EFI/debian -o /grubx64.efi \
    part_gpt fat ext2 normal configfile search search_fs_uuid
  cat >"$root/grub.cfg" <<STUB
search.fs_uuid $uuid root
set prefix=(\$root)/boot/grub
configfile \$prefix/grub.cfg
STUB
  mmd -i "$esp" ::EFI ::EFI/debian
  mcopy -i "$esp" "$root/grubx64.efi" "$root/grub.cfg" ::EFI/debian/
  rm "$root/grubx64.efi" "$root/grub.cfg"
  dd if="$esp" of="${loop}p1" bs=1M conv=fsync status=none
  rm "$esp"
else
  chroot "$root" grub-install --target=i386-pc --no-floppy "$loop"
fi

begin 'configuring the boot loader'
# The root file system is on a loop device here: not for the guest, and of a whole one update-grub takes no kernel at all.
mkdir -p "$root/etc/default/grub.d"
echo "GRUB_DEVICE=UUID=$uuid" >"$root/etc/default/grub.d/made.cfg"
chroot "$root" update-grub
rm "$root/etc/default/grub.d/made.cfg"
grep -q "linux.*root=UUID=$uuid" "$root/boot/grub/grub.cfg" || {
  echo "grub.cfg starts no kernel with the root file system $uuid"
  exit 1
}

begin 'writing the disk'
# Where holes cannot be made the disk is larger, and as good.
fstrim "$root" || true
sync -f "$root"
if [ "$kind" = luks ]; then
  umount -R "$root"
  qemu-img convert -n -f raw --object "secret,id=key,file=$disk.key" \
    --target-image-opts "$system" "driver=luks,key-secret=key,file.filename=$disk.luks"
  dd if="$disk.luks" of="$last" bs=1M conv=fsync status=none
fi
