#!/bin/sh
# The tests' $TEMPORAL_CLI: a server that ends with the process that started it, which may be killed before it can end
# anything. VMFERRY_TEMPORAL_CLI names the program itself.
if command -v setpriv >/dev/null; then
  exec setpriv --pdeathsig=KILL -- "$VMFERRY_TEMPORAL_CLI" "$@"
fi
exec "$VMFERRY_TEMPORAL_CLI" "$@"
