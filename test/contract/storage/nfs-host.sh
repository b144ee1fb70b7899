#!/bin/bash
# An NFS server on the loopback of a network namespace of its own, and one program beside it that is its client: libnfs
# wants the port mapper on port 111, which the machine's own may hold. All of it ends with this script.
set -eu
# Arguments: a folder to work in, the folder to export, the program with its arguments.
work=$1 export=$2
shift 2
ip link set lo up
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/ganesha /run/rpcbind
cat >"$work/ganesha.conf" <<END
NFS_CORE_PARAM { Protocols = 3; NFS_Port = 2049; MNT_Port = 20048; Enable_NLM = false;
  Enable_RQUOTA = false; mount_path_pseudo = false; }
NFSv4 { RecoveryBackend = fs; RecoveryRoot = $work/recovery; }
EXPORT { Export_Id = 1; Path = $export; Pseudo = /export; Access_Type = RW; Squash = None; Protocols = 3;
  Transports = TCP; SecType = sys; PrefRead = 1048576; PrefWrite = 1048576; FSAL { Name = VFS; } }
END
mkdir -p "$work/recovery"
rpcbind -f >"$work/rpcbind.log" 2>&1 &
ganesha.nfsd -F -L "$work/ganesha.log" -f "$work/ganesha.conf" -p "$work/ganesha.pid" >"$work/out.log" 2>&1 &
server=$!
for _ in $(seq 300); do
  kill -0 "$server" || break
  (echo >/dev/tcp/127.0.0.1/2049) 2>/dev/null && (echo >/dev/tcp/127.0.0.1/20048) 2>/dev/null && up=yes && break
  sleep 0.1
done
if [ "${up-}" != yes ]; then
  cat "$work"/*.log >&2
  exit 1
fi
"$@"
