import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import type { LabHost } from '../lab/host.ts';
import { waitUntil } from '../lab/wait.ts';

const port = 10_950;
const limit = { timeoutMs: 60_000 };
const pkiDir = '/etc/pki/qemu';

/** What one types to move a VM that is off, in order; `S$` on the source, `T$` on the target. */
export const byHandCommands = [
  'S$ virsh dumpxml --inactive --security-info VM > vm.xml',
  'S$ qemu-nbd --read-only --persistent --shared=16 --tls-creds=... DISK',
  'T$ virsh vol-create-as default VM.raw SIZE --format raw',
  "T$ nbdcopy --flush 'nbds://SOURCE:PORT/vda?tls-certificates=...' DISK",
  'T$ virsh define vm.xml',
  'S$ virsh undefine VM',
  'S$ virsh vol-delete --pool default VM.raw',
].join('; ');

/** Moves a VM that is off with virsh and nbdcopy; seconds. Commands follow each other as fast as a script types. */
export async function moveByHand(
  vm: string,
  { source, target, sizeMiB }: { source: LabHost; target: LabHost; sizeMiB: number },
): Promise<number> {
  const path = `${source.poolPath}/${vm}.raw`;
  const on = async (host: LabHost, ...command: string[]): Promise<string> =>
    (await host.exec(command, limit)).stdout;
  const start = performance.now();
  const xml = await on(source, 'virsh', '-q', 'dumpxml', '--inactive', '--security-info', vm);
  const pidFile = `/run/by-hand-${vm}.pid`;
  const server = source.spawn(
    [
      ...['qemu-nbd', '--read-only', '--persistent', '--shared=16', `--bind=${source.address}`],
      ...[`--port=${port}`, '-x', 'vda', `--pid-file=${pidFile}`, '--format=raw'],
      ...['--object', `tls-creds-x509,id=tls0,dir=${pkiDir},endpoint=server,verify-peer=yes`],
      ...['--tls-creds=tls0', '--', path],
    ],
    { stdio: 'inherit' },
  );
  try {
    const size = `${sizeMiB}M`;
    await on(
      target,
      ...['virsh', '-q', 'vol-create-as', 'default', `${vm}.raw`, size, '--format', 'raw'],
    );
    await waitUntil(
      async () => !(await source.exec(['test', '-s', pidFile], { ...limit, reject: false })).failed,
      {
        what: 'the export by hand',
        timeoutMs: 15_000,
        everyMs: 10,
      },
    );
    const uri = `nbds://${source.address}:${port}/vda?tls-certificates=${pkiDir}`;
    await on(target, 'nbdcopy', '--flush', uri, path);
    const file = `/run/by-hand-${vm}.xml`;
    await writeFile(target.rootOf(file), xml);
    await on(target, 'virsh', '-q', 'define', file);
    await rm(target.rootOf(file));
  } finally {
    const ended = once(server, 'exit');
    server.kill();
    await ended;
  }
  await on(source, 'virsh', '-q', 'undefine', vm);
  await on(source, 'virsh', '-q', 'vol-delete', '--pool', 'default', `${vm}.raw`);
  return (performance.now() - start) / 1000;
}
