#!/bin/bash
# The first process of a private host: hides the machine's libvirt behind empty folders, then waits.
# It runs in mount, UTS, network and PID namespaces of its own. When its standard input closes, it
# ends, and the kernel ends every process of the PID namespace with it: nothing can be left behind.
set -eu
root=$1
hostname "$2"
ip link set lo up
mount --make-rprivate /
for folder in etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt; do
  mkdir -p "$root/$folder"
  mount --bind "$root/$folder" "/$folder"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/libvirt /run/lock
libvirtd -d ${3:+$3} -p /run/libvirtd.pid -f /etc/libvirt/libvirtd.conf
echo ready
# bash, unlike cat, also reaps the orphans that become its children.
while read -r _; do :; done
