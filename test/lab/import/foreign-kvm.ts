/** A host of the lab as a foreign one: reached by SSH with one key, and by nothing of ours. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabHost } from '../../../lab/host.ts';
import { makeKey } from '../../contract/ssh/private-sshd.ts';

export interface ForeignLogin {
  /** For `host.providers`. */
  provider: object;
  /** Processes and files that an import has on the host while it lasts; they bear its run's ID. */
  traces(runId: string): Promise<string[]>;
  end(): void;
}

const port = 2222;
const readyMs = 20_000;

/** `dir` is seen by the machine and by the lab's hosts alike. */
export async function openForeignHost(host: LabHost, dir: string): Promise<ForeignLogin> {
  await mkdir(dir, { recursive: true });
  const hostKey = await makeKey(join(dir, 'host-key'));
  const userKey = await makeKey(join(dir, 'user-key'));
  const config = [
    ...[`Port ${port}`, `ListenAddress ${host.address}`, `HostKey ${hostKey.file}`],
    ...[`AuthorizedKeysFile ${userKey.file}.pub`, 'PidFile none', 'UsePAM no', 'StrictModes no'],
    ...['PermitRootLogin yes', 'AllowStreamLocalForwarding yes', 'Subsystem sftp internal-sftp'],
  ];
  await writeFile(join(dir, 'sshd_config'), `${config.join('\n')}\n`);
  await writeFile(join(dir, 'shadow'), 'root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n');
  // In mounts of its own: the machine's passwords are none of the lab's business.
  const boot = [
    `mount --bind ${dir}/shadow /etc/shadow`,
    'mkdir -p /run/sshd',
    `exec /usr/sbin/sshd -D -e -f ${dir}/sshd_config -E ${dir}/sshd.log`,
  ].join(' && ');
  const sshd = host.spawn(['unshare', '-m', 'sh', '-c', boot], { stdio: 'ignore' });
  const deadline = performance.now() + readyMs;
  for (;;) {
    const { stdout } = await host.exec(['ss', '-Hltn', `sport = :${port}`], { timeoutMs: 10_000 });
    if (stdout.trim() !== '') break;
    if (performance.now() > deadline) throw new Error('sshd does not listen');
    await delay(100);
  }
  return {
    provider: {
      kind: 'kvm',
      address: `${host.address}:${port}`,
      user: 'root',
      key: `file:${userKey.file}`,
      hostKey: hostKey.fingerprint,
    },
    traces: async (runId) => {
      const { stdout } = await host.exec(['sh', '-c', 'ps -eo args; ls -d /tmp/vmferry*'], {
        timeoutMs: 10_000,
        reject: false,
      });
      return stdout.split('\n').filter((line) => line.includes(runId));
    },
    end: () => void sshd.kill('SIGTERM'),
  };
}
