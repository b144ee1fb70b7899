#!/usr/bin/env bash
# Makes what docker-compose.yml expects under deploy/compose/secrets: a CA, a certificate for each part, a database
# password, a payload key. What is there is kept, so a second run adds what is missing and changes nothing else.
#
#   make-certs.sh                 for the compose file
#   make-certs.sh host NAME ...   besides, a client certificate to Temporal for each host worker
#
# VMFERRY_SECRETS names another folder. Run it as root: each file is given to the user of its container.
set -euo pipefail
umask 077

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="${VMFERRY_SECRETS:-$here/secrets}"
days=825
ca_days=3650

command -v openssl >/dev/null || { echo 'make-certs.sh: openssl is missing; install the package openssl' >&2; exit 1; }
mkdir -p "$out"

# The users in the images: PostgreSQL's, Temporal's and vmferry's (both 1000), the UI's.
postgresql_user=999
temporal_user=1000
ui_user=5000

own() { # USER FILE...
  local user="$1"
  shift
  chmod 0400 "$@"
  if [ "$(id -u)" = 0 ]; then chown "$user:$user" "$@"; fi
}

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

ca() {
  if [ -e "$out/ca.pem" ]; then return; fi
  new_key "$out/ca-key.pem"
  openssl req -x509 -new -key "$out/ca-key.pem" -sha256 -days "$ca_days" -subj '/CN=vmferry CA' \
    -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -out "$out/ca.pem"
  chmod 0444 "$out/ca.pem"
  echo "made ca.pem; keep ca-key.pem off this machine once all certificates are made"
}

certificate() { # NAME USER USAGE ALTERNATIVE_NAMES
  local name="$1" user="$2" usage="$3" names="$4" draft
  if [ -e "$out/$name.pem" ]; then return; fi
  [ -e "$out/ca-key.pem" ] || { echo "make-certs.sh: $name needs $out/ca-key.pem, which is not there" >&2; exit 1; }
  draft="$(mktemp -d "$out/.draft-XXXXXX")"
  new_key "$draft/key"
  openssl req -new -key "$draft/key" -subj "/CN=$name" -out "$draft/request"
  printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
    "extendedKeyUsage=$usage" "subjectAltName=$names" >"$draft/extensions"
  openssl x509 -req -in "$draft/request" -CA "$out/ca.pem" -CAkey "$out/ca-key.pem" -sha256 -days "$days" \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$draft/extensions" -out "$draft/cert" 2>/dev/null
  own "$user" "$draft/key" "$draft/cert"
  # The certificate comes last: it is what says that both are there.
  mv "$draft/key" "$out/$name-key.pem"
  mv "$draft/cert" "$out/$name.pem"
  rm -r "$draft"
  echo "made $name.pem"
}

secret() { # NAME USER VALUE
  if [ -e "$out/$1" ]; then return; fi
  printf '%s' "$3" >"$out/$1"
  own "$2" "$out/$1"
  echo "made $1"
}

both='serverAuth,clientAuth'
ca
if [ "${1:-}" = host ]; then
  shift
  [ "$#" -gt 0 ] || { echo 'usage: make-certs.sh host NAME ...' >&2; exit 2; }
  for name in "$@"; do
    [[ "$name" =~ ^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$ ]] || { echo "make-certs.sh: $name is no host name" >&2; exit 2; }
    certificate "host-$name" 0 clientAuth "DNS:$name"
  done
  exit 0
fi
[ "$#" = 0 ] || { echo 'usage: make-certs.sh [host NAME ...]' >&2; exit 2; }

certificate postgresql "$postgresql_user" serverAuth DNS:postgresql
certificate temporal "$temporal_user" "$both" DNS:temporal,DNS:localhost,IP:127.0.0.1
certificate admin "$temporal_user" clientAuth DNS:admin
certificate ui "$ui_user" clientAuth DNS:ui
certificate control "$temporal_user" clientAuth DNS:control
password="$(openssl rand -hex 32)"
# One password in two files, because two users have to read it; both or none, or they would differ.
if [ ! -e "$out/postgresql-password" ] || [ ! -e "$out/temporal-sql-password" ]; then
  if [ -e "$out/postgresql-password" ]; then password="$(cat "$out/postgresql-password")"; fi
  if [ -e "$out/temporal-sql-password" ]; then password="$(cat "$out/temporal-sql-password")"; fi
fi
secret postgresql-password "$postgresql_user" "$password"
secret temporal-sql-password "$temporal_user" "$password"
secret payload.key "$temporal_user" "$(openssl rand -base64 32)"
if [ "$(id -u)" != 0 ]; then
  echo 'not root: the files belong to this user, and containers with other users cannot read them; run it as root' >&2
fi
