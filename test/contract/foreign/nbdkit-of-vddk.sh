#!/bin/bash
# Stands where nbdkit with its VDDK plugin would: tells what it was started with and what came through the pipe, and
# serves a raw file in the place of what VDDK would read. All of that lies beside it.
set -u
here=$(dirname "$0")
printf '%s\n' "$@" >"$here/arguments"
IFS= read -r password <&3
printf '%s\n' "$password" >"$here/password"
exec 3<&-
echo $$ >>"$here/pids"
own=()
for argument; do
  [ "$argument" = vddk ] && break
  own+=("$argument")
done
if [ -e "$here/complaint" ]; then
  cat "$here/complaint" >&2
  [ -e "$here/late" ] || exit 1
  # VDDK asks the server when the first client comes.
  exec nbdkit "${own[@]}" eval open='echo "EIO cannot open" >&2; exit 1' get_size='echo 0'
fi
exec nbdkit "${own[@]}" file "$here/bytes"
