/** What an earlier run of the same label left on a host because it was killed, or its network was. */
import { backupPrefix, endBackup } from './backup.ts';
import type { RemoteHost } from './reach.ts';
import { endScript } from './remote-folder.ts';

/** Found and ended, each for people: `folder /tmp/vmferry-m1-x2Zk`, `backup of web`. */
export type Swept = string[];

/** Only folders of this very user: others can make what is named alike. */
const sweepScript = `${endScript}
for d in "$1/vmferry-$2-"??????????; do
  [ -d "$d" ] && [ -O "$d" ] || continue
  printf '%s\\n' "$d"; end_folder "$d"
done
for d in "$1/vmferry-$2-"??????????.gone; do
  [ -d "$d" ] && [ -O "$d" ] || continue
  printf '%s\\n' "$d"; end_folder "\${d%.gone}"
done`;

/**
 * Ends folders with their servers and backup jobs that bear the label, also of a run that still thinks it lives.
 * Throws the domain errors of `RemoteHost`.
 */
export async function sweepHost(
  host: RemoteHost,
  { base, label }: { base: string; label: string },
): Promise<Swept> {
  const { stdout } = await host.run(['sh', '-c', sweepScript, 'sh', base, label], {
    timeoutMs: 60_000,
  });
  const folders = stdout.split('\n').filter((line) => line !== '');
  const backups = await host.libvirt(async (connection) => {
    const ended: string[] = [];
    const active = 1;
    const { domains } = await connection.call('ConnectListAllDomains', {
      needResults: 1,
      flags: active,
    });
    for (const dom of domains) {
      if (await endBackup(connection, dom, `/${backupPrefix(label)}`)) ended.push(dom.name);
    }
    return ended;
  });
  return [...folders.map((path) => `folder ${path}`), ...backups.map((vm) => `backup of ${vm}`)];
}
