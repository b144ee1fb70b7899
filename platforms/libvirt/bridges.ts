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

/** For so long what iproute2 said of the same interfaces is as good as new, ms. */
const recentMs = 10_000;
let latest: { interfaces: string; atMs: number; bridges: Promise<Bridge[]> } | undefined;

/**
 * By name. /sys shows the network namespace in which it was mounted, which in a container or the lab is not this
 * process's: where its interfaces are others, iproute2 is asked by netlink, and where that is missing /sys has to do.
 * Throws `bridges-unreadable`.
 */
export async function readBridges(host: string): Promise<Bridge[]> {
  const [ours, shown] = await Promise.all([ownInterfaces(), shownInterfaces()]);
  if (ours === shown) return bridgesOfSys();
  // To start a program costs a worker some 10 ms in which it does nothing else.
  if (latest?.interfaces === ours && performance.now() - latest.atMs < recentMs)
    return latest.bridges;
  const bridges = askNetlink(host);
  latest = { interfaces: ours, atMs: performance.now(), bridges };
  bridges.catch(() => (latest = undefined));
  return bridges;
}

/** /proc shows the reader's own namespace. */
async function ownInterfaces(): Promise<string> {
  const table = await readFile('/proc/self/net/dev', 'utf8').catch(() => '');
  const names = table.split('\n').flatMap((line) => /^\s*([^\s:]+):/.exec(line)?.[1] ?? []);
  return names.sort().join(' ');
}

/** Files in there are the bonding driver's own; interfaces are links. */
async function shownInterfaces(): Promise<string> {
  const entries = await readdir('/sys/class/net', { withFileTypes: true }).catch(() => []);
  const links = entries.filter((entry) => entry.isSymbolicLink());
  return links
    .map(({ name }) => name)
    .sort()
    .join(' ');
}

async function askNetlink(host: string): Promise<Bridge[]> {
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
