import { once } from 'node:events';
import { mkdir, writeFile, chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { LabHost } from '../lab/host.ts';
import { waitUntil } from '../lab/wait.ts';
import { whichProgram } from './programs.ts';

const port = 10_922;

/** An sshd of our own inside a host, with keys made for it. */
export interface BenchSshd {
  /** The scp command that fetches a file of that host. */
  scp(remotePath: string, localPath: string): string;
  stop(): Promise<void>;
}

/** `dir`: an absolute folder on the machine, which hosts of the lab see as it is. */
export async function startSshd(
  host: LabHost,
  { client, dir }: { client: LabHost; dir: string },
): Promise<BenchSshd> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const key of ['host-key', 'user-key']) {
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, key)]);
  }
  const userKey = await readFile(join(dir, 'user-key.pub'), 'utf8');
  await writeFile(join(dir, 'authorized'), userKey);
  await chmod(join(dir, 'authorized'), 0o600);
  const hostKey = await readFile(join(dir, 'host-key.pub'), 'utf8');
  await writeFile(join(dir, 'known'), `[${host.address}]:${port} ${hostKey}`);
  const config = [
    `ListenAddress ${host.address}:${port}`,
    `HostKey ${dir}/host-key`,
    `AuthorizedKeysFile ${dir}/authorized`,
    ...['StrictModes no', 'UsePAM no', 'PermitRootLogin prohibit-password', 'PidFile none'],
    'Subsystem sftp internal-sftp',
  ];
  await writeFile(join(dir, 'sshd_config'), `${config.join('\n')}\n`);
  const program = (await whichProgram('sshd')) ?? 'sshd';
  // Its folder for dropped rights lies in /run, which is the host's own.
  await host.exec(['mkdir', '-p', '/run/sshd'], { timeoutMs: 5000 });
  const server = host.spawn([program, '-D', '-e', '-f', join(dir, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const options = `-q -P ${port} -i ${dir}/user-key -o UserKnownHostsFile=${dir}/known -o BatchMode=yes`;
  const scp = (remote: string, local: string) =>
    `scp ${options} root@${host.address}:${remote} ${local}`;
  await waitUntil(
    async () => {
      const tried = await client.exec(['sh', '-c', scp('/etc/hostname', '/dev/null')], {
        ...{ timeoutMs: 10_000, reject: false },
      });
      return !tried.failed;
    },
    { what: 'sshd', timeoutMs: 20_000, everyMs: 100 },
  );
  return {
    scp,
    stop: async () => {
      if (server.exitCode !== null) return;
      const ended = once(server, 'exit');
      server.kill();
      await ended;
    },
  };
}
