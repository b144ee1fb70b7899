import { readFile, readdir } from 'node:fs/promises';
import { execa } from 'execa';
import type { Lab } from '../../lab/lab.ts';
import { namedNetworkNamespace, namespaceOf } from '../../lab/processes.ts';

/** Everything of a lab that a machine can show, found by the lab's name and folder. */
export async function traces(
  labName: string,
  dir: string,
  namespaces: number[],
): Promise<string[]> {
  const names = await readdir('/run/netns').catch(() => []);
  const loops = (await execa('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']))
    .stdout;
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  const cgroups = await execa('find', [
    '/sys/fs/cgroup',
    '-maxdepth',
    '2',
    '-name',
    `${labName}-*`,
  ]);
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const marked = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      const inside = namespaces.includes(namespaceOf(Number(pid), 'net') ?? -1);
      return inside || environment.includes(`VMFERRY_LAB=${dir}\0`) ? [`process ${pid}`] : [];
    }),
  );
  return [
    ...names.filter((each) => each.startsWith(`${labName}-`)).map((each) => `namespace ${each}`),
    ...loops
      .split('\n')
      .filter((file) => file.includes(`${dir}/`))
      .map((file) => `loop ${file}`),
    ...mounts.split('\n').filter((line) => line.includes(dir) || line.includes(`${labName}-`)),
    ...cgroups.stdout.split('\n').filter((line) => line !== ''),
    ...marked.flat(),
  ];
}

/** Inodes of its network namespaces, to be asked while they are there. */
export const namespacesOf = (some: Lab): number[] =>
  [some.switchNetns, ...some.hosts.map((host) => host.netns)].map(
    (netns) => namedNetworkNamespace(netns) ?? -2,
  );
