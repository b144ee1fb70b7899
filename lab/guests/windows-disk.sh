#!/bin/sh
# Puts a tree of files on a disk as a Windows has it: one NTFS. Root is needed (FUSE).
#   windows-disk.sh TREE DISK.raw BYTES
set -eu
tree=$1
disk=$2
bytes=$3
if [ "${VMFERRY_IN_NAMESPACE:-}" != yes ]; then
  VMFERRY_IN_NAMESPACE=yes exec unshare --mount --propagation private -- "$0" "$@"
fi
start=2048
part=$disk.part
rm -f "$part" "$disk"
truncate -s $((bytes - start * 512 - 1048576)) "$part"
mkntfs -q -s 512 -F -Q -p $start -H 255 -S 63 "$part"
root=$(mktemp -d)
ntfs-3g "$part" "$root"
cp -r "$tree"/. "$root"/
umount "$root"
rmdir "$root"
truncate -s "$bytes" "$disk"
printf 'label: dos\nstart=%s, size=%s, type=7, bootable\n' "$start" $((bytes / 512 - start - 2048)) | sfdisk -q "$disk"
dd if="$part" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
rm -f "$part"
