#!/bin/sh
# Becomes a command inside a host: no fork, so the caller's child is the command itself and a signal reaches it.
#   enter-host.sh <holder pid> <cgroup folder or ''> <working folder> <command> [arguments]
set -eu
holder=$1 cgroup=$2 folder=$3
shift 3
if [ -n "$cgroup" ]; then echo $$ >"$cgroup/cgroup.procs"; fi
exec nsenter --target "$holder" --mount --uts --net --wdns="$folder" -- "$@"
