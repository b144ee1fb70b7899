#!/bin/bash
# The first process of a private sshd: in mount and PID namespaces of its own it hides the machine's
# /run, logs and password file, then becomes sshd. When it dies, the kernel ends its sessions, too.
set -eu
# Arguments: the folder, the password of root inside.
mount --make-rprivate /
printf 'root:%s:19000:0:99999:7:::\nsshd:!:19000::::::\n' "$(openssl passwd -6 "$2")" >"$1/shadow"
chmod 600 "$1/shadow"
mount --bind "$1/shadow" /etc/shadow
# Failed logins are recorded here.
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /run
mkdir /run/sshd
# A root folder of its own for who logs in, with the machine's programs (`ChrootDirectory /mnt`).
if [ -d "$1/root" ]; then
  mount --bind "$1/root" /mnt
  mkdir -p /mnt/usr /mnt/dev
  mount --bind /usr /mnt/usr
  mount --bind /dev /mnt/dev
  cp -a /bin /lib /lib64 /mnt/
fi
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
