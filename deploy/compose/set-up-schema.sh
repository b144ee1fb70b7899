#!/bin/sh
# Brings both of Temporal's databases to this version's schema. Safe to run at every start: what is there is kept.
set -eu
SQL_PASSWORD="$(cat /run/secrets/temporal-sql-password)"
export SQL_PASSWORD
versions=/etc/temporal/schema/postgresql/v12
for pair in temporal:temporal temporal_visibility:visibility; do
  database="${pair%%:*}"
  temporal-sql-tool --database "$database" create-database
  temporal-sql-tool --database "$database" setup-schema --version 0.0
  temporal-sql-tool --database "$database" update-schema --schema-dir "$versions/${pair##*:}/versioned"
done
