/** The lab's guest with a second program, which writes to its memory as fast as it can where the kernel's words say so. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpioArchive, programMode } from '../../../lab/guest/cpio.ts';
import { ensureGuest } from '../../../lab/guest.ts';
import type { LabHost } from '../../../lab/host.ts';
import { withXml } from '../refusals/tiny-vm.ts';

/** The word on the kernel's command line that wakes the writer. */
const word = 'vmferry.busy';

// Noise, since QEMU sends a page of zeroes as a few bytes. One process and one buffer: QEMU 7.2's emulation was seen to
// lose a write to memory that moves (1 of 5 moves by plain virsh broke a guest that started processes all the time),
// and what is lost of this buffer nobody misses. Where it breaks the writer itself, another one goes on.
const writer = `
if grep -q ${word} /proc/cmdline; then
  echo busy
  while :; do dd if=/dev/urandom of=/dev/null bs=20M 2>/dev/null; usleep 100000; done &
fi
`;

/** Makes a guest folder for `Lab.up`: the kernel unpacks a second archive over the first. */
export async function makeBusyGuest(dir: string): Promise<string> {
  const guest = await ensureGuest();
  const script = await readFile(join(import.meta.dirname, '../../../lab/guest/init.sh'), 'utf8');
  const marker = '\ncounter=0\n';
  if (!script.includes(marker)) throw new Error("the guest's script has no place for the writer");
  const init = Buffer.from(script.replace(marker, `${writer}${marker}`));
  await mkdir(dir, { recursive: true });
  await copyFile(guest.kernel, join(dir, 'vmlinuz'));
  const over = cpioArchive([{ path: 'init', mode: programMode, content: init }]);
  await writeFile(
    join(dir, 'initrd.img'),
    Buffer.concat([await readFile(guest.initrd), gzipSync(over)]),
  );
  return dir;
}

/** Has a VM that is off be a busy one from its next start. */
export async function makeBusy(host: LabHost, name: string): Promise<void> {
  const dump = ['virsh', '-q', 'dumpxml', '--inactive', name];
  const { stdout: xml } = await host.exec(dump, { timeoutMs: 30_000 });
  const busy = xml.replace('console=ttyS0', `console=ttyS0 ${word}`);
  await withXml(host, busy, (file) =>
    host.exec(['virsh', '-q', 'define', file], { timeoutMs: 30_000 }),
  );
}
