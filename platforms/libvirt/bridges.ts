/** The bridges of a host's kernel. */
import { readFile, readdir } from 'node:fs/promises';
import { execa } from 'execa';
import { z } from 'zod';
import { needsOperator } from '../../domain/errors.ts';
import { isThere } from './is-there.ts';

export interface Bridge {
  name: string;
  mtu: number;
}

const linksSchema = z.array(z.object({ ifname: z.string(), mtu: z.number() }));

/**
 * Asked by netlink: /sys shows the network namespace in which it was mounted, which in a container or the lab is not
 * this process's. Where iproute2 is missing /sys has to do. By name. Throws `bridges-unreadable`.
 */
export async function readBridges(host: string): Promise<Bridge[]> {
  const { stdout, failed, code } = await execa('ip', ['-json', 'link', 'show', 'type', 'bridge'], {
    reject: false,
    timeout: 10_000,
    maxBuffer: 4 * 1024 * 1024,
    stdin: 'ignore',
  });
  if (code === 'ENOENT') return bridgesOfSys();
  const links = failed ? undefined : linksSchema.safeParse(JSON.parse(stdout || '[]')).data;
  if (links !== undefined)
    return links.map(({ ifname, mtu }) => ({ name: ifname, mtu })).sort(byName);
  throw needsOperator({
    code: 'bridges-unreadable',
    message: `the bridges of ${host} cannot be read: ip link show type bridge failed`,
    remedy: 'Run that command on the host and mend what it says, then `vmferry retry`.',
    host,
  });
}

async function bridgesOfSys(): Promise<Bridge[]> {
  const names = await readdir('/sys/class/net').catch(() => []);
  const found = await Promise.all(
    names.map(async (name): Promise<Bridge[]> => {
      if (!(await isThere(`/sys/class/net/${name}/bridge`))) return [];
      return [{ name, mtu: Number(await readFile(`/sys/class/net/${name}/mtu`, 'utf8')) }];
    }),
  );
  return found.flat().sort(byName);
}

const byName = (left: Bridge, right: Bridge): number => (left.name < right.name ? -1 : 1);
