import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConversionTool } from '../../../convert/tool.ts';

/**
 * A program in the place of virt-v2v-in-place: it tells stages and writes to the overlays as the real one does, in a
 * second. What it does stands in `script`: `change` writes to the overlays.
 */
export async function standIn(folder: string, script: string): Promise<ConversionTool> {
  const program = join(folder, 'virt-v2v-in-place');
  const text = `#!/bin/sh
for last; do :; done
overlays=$(sed -n "s/.*<source file=\\"\\(.*\\)\\"\\/>/\\1/p" "$last")
echo "[   0.0] Setting up the source: -i libvirtxml"
printf '%s\\n' "$@" >"$TMPDIR/../arguments"
env >"$TMPDIR/../environment"
change() {
  echo "[   1.5] Converting Debian GNU/Linux 12 (bookworm) to run on KVM"
  for overlay in $overlays; do qemu-io -f qcow2 -c 'write -P 0x77 1M 1M' "$overlay" >/dev/null; done
}
${script}
`;
  await writeFile(program, text, { mode: 0o755 });
  return {
    program,
    version: '2.2.0',
    options: new Set(),
    inputs: new Set(['libvirtxml']),
    anyDeviceKey: false,
    acceleration: 'tcg',
  };
}
