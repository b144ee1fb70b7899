#!/bin/bash
# The first process of a private host: hides the machine's libvirt behind empty folders, then waits.
# It runs in mount, UTS, network and PID namespaces of its own. When its standard input closes, it
# ends, and the kernel ends every process of the PID namespace with it: nothing can be left behind.
set -eu
# Arguments: the folder, the host name, the cache folder, `--listen` or nothing.
root=$1
hostname "$2"
ip link set lo up
mount --make-rprivate /
# What libvirtd asked QEMU about itself stays between runs: it takes seconds, and libvirtd checks
# that it is still true.
mkdir -p "$3" && mount --bind "$3" /var/cache/libvirt
for folder in etc/libvirt var/lib/libvirt var/log/libvirt; do
  mkdir -p "$root/$folder"
  mount --bind "$root/$folder" "/$folder"
done
# A TPM emulator's first start makes a certificate authority and a log of its own.
for folder in /var/lib/swtpm-localca /var/log/swtpm; do
  [ ! -d "$folder" ] || mount -t tmpfs -o "$(stat -c mode=%a,uid=%u "$folder")" tmpfs "$folder"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/libvirt /run/lock
# What a test wants to have running before: a system bus, polkit.
if [ -e "$root/before-libvirtd.sh" ]; then . "$root/before-libvirtd.sh"; fi
libvirtd -d ${4:+$4} -p /run/libvirtd.pid -f /etc/libvirt/libvirtd.conf
echo ready
# bash, unlike cat, also reaps the orphans that become its children.
while read -r _; do :; done
