#!/bin/sh
# Turns itself into a host of the lab: joins the host's cgroup and network namespace, takes mount and UTS namespaces of
# its own, mounts the host's folders over the machine's, says `ready` on descriptor 3 and then only holds them open.
# The pid stays the same throughout, so whoever started this knows the holder.
#
#   boot-host.sh <netns> <cgroup folder or ''> <hostname> <guest folder> <cache folder>     (in the host's folder)
set -eu

if [ "${VMFERRY_LAB_STAGE-}" != inside ]; then
  if [ -n "$2" ]; then echo $$ >"$2/cgroup.procs"; fi
  VMFERRY_LAB_STAGE=inside
  export VMFERRY_LAB_STAGE
  exec nsenter --net="/run/netns/$1" unshare --mount --uts --propagation private /bin/sh "$0" "$@"
fi
unset VMFERRY_LAB_STAGE
hostname "$3"

# A fresh /sys shows this network namespace's interfaces; without it only the machine's are seen there.
mount -t sysfs sysfs /sys || echo 'sysfs could not be mounted: /sys/class/net will show the wrong interfaces'
mount -t tmpfs -o mode=755,size=64m tmpfs /run
mkdir -p /run/libvirt /run/lock /run/netns /run/vmferry-witness
mount --bind ../../witness /run/vmferry-witness

# Mount points that the machine does not have come from read-only overlays, so that nothing is made on the machine.
mount -t overlay -o "ro,lowerdir=skeleton/etc:/etc" overlay /etc
mount -t overlay -o "ro,lowerdir=skeleton/var-lib:/var/lib" overlay /var/lib
mount -t overlay -o "ro,lowerdir=skeleton/usr-share:/usr/share" overlay /usr/share

# /dev is the machine's, with a folder of the host's own for shared block devices; what is mounted in it moves along.
mkdir /run/dev
mount --rbind /dev /run/dev
mount -t overlay -o "ro,lowerdir=skeleton/dev:/run/dev" overlay /dev
for below in pts shm mqueue hugepages; do
  if mountpoint -q "/run/dev/$below"; then mount --move "/run/dev/$below" "/dev/$below"; fi
done
umount -l /run/dev
mount -t tmpfs -o mode=755,size=1m tmpfs /dev/vmferry
if [ -f blocks ]; then
  while read -r name major minor; do mknod "/dev/vmferry/$name" b "$major" "$minor"; done <blocks
fi

for folder in etc/libvirt etc/pki etc/vmferry var/lib/libvirt var/lib/vmferry var/cache/libvirt var/log/libvirt; do
  mount --bind "$folder" "/$folder"
done
# What libvirtd asked QEMU about itself takes seconds; libvirtd checks that the answers still hold.
mkdir -p /var/cache/libvirt/qemu/capabilities
mount --bind "$5" /var/cache/libvirt/qemu/capabilities
mount --bind "$4" /usr/share/vmferry-guest
mount --bind "$(dirname "$0")/inside" /usr/share/vmferry-lab
mount -o remount,bind,ro /usr/share/vmferry-guest
mount -o remount,bind,ro /usr/share/vmferry-lab

# Mounts a file with a file system of its own. Two hosts may reach for the same free loop device at once: the loser
# tries again.
mount_image() {
  loop=
  for attempt in 1 2 3 4 5 6 7 8; do
    loop=$(losetup --find --show --direct-io=on "$1" 2>/dev/null) && break
    loop=$(losetup --find --show "$1") && break
  done
  [ -n "$loop" ]
  mount -t ext4 -o noatime "$loop" "$2" || { losetup -d "$loop"; exit 1; }
  # Detaching a mounted loop device means: once it is unmounted. So it goes when this namespace goes, whatever happens.
  losetup -d "$loop"
}
mkdir -p /var/lib/libvirt/storage /var/lib/libvirt/images /var/lib/libvirt/fast
mount_image pool.img /var/lib/libvirt/storage
if [ -f state.img ]; then mount_image state.img /var/lib/vmferry; fi
for pool in images fast; do
  mkdir -p "/var/lib/libvirt/storage/$pool"
  mount --bind "/var/lib/libvirt/storage/$pool" "/var/lib/libvirt/$pool"
done
if [ -d ../../shared/files ]; then
  mkdir -p /var/lib/libvirt/shared
  mount --bind ../../shared/files /var/lib/libvirt/shared
fi

cd /
echo ready >&3
exec 3>&-
exec sleep infinity
