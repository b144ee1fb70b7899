/**
 * Which process listens where, read from `/proc` without connecting: a connection would count as a client,
 * and a port that answers may be another's.
 */
import { readFile, readdir, readlink } from 'node:fs/promises';
import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** State of a listening socket in `/proc/net/tcp`. */
const listenState = '0A';
/** Whether the process itself listens on that TCP address (an IP) and port. */
export async function listensOnTcp(
  pid: number,
  { address, port }: { address: string; port: number },
): Promise<boolean> {
  const listeners = await tcpListeners(pid);
  const inodes = listeners
    .filter((each) => each.port === port && sameAddress(each.address, address))
    .map(({ inode }) => inode);
  return ownsOneOf(pid, inodes);
}

/** Ports on which anything in this host's network listens, whatever the address. */
export async function listeningPorts(): Promise<Set<number>> {
  return new Set((await tcpListeners('self')).map(({ port }) => port));
}

interface Listener {
  /** Numeric, as `tcpListeners` decodes it. */
  address: string;
  port: number;
  inode: string;
}

async function tcpListeners(pid: number | 'self'): Promise<Listener[]> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8').catch(() => '')),
  );
  return tables.flatMap((table) => table.split('\n').slice(1).flatMap(readListener));
}

function readListener(line: string): Listener[] {
  const fields = line.trim().split(/\s+/);
  const [hexAddress = '', hexPort = ''] = (fields[1] ?? '').split(':');
  const inode = fields[9];
  if (fields[3] !== listenState || inode === undefined) return [];
  return [{ address: decodeAddress(hexAddress), port: Number.parseInt(hexPort, 16), inode }];
}

/** The kernel prints each 32-bit word of an address in the machine's byte order, which is little-endian here. */
function decodeAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => [...Buffer.from(word, 'hex')].reverse());
  if (bytes.length === 4) return bytes.join('.');
  const groups = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return (groups.match(/.{4}/g) ?? []).join(':');
}

function sameAddress(left: string, right: string): boolean {
  const family = isIPv4(left) ? 'ipv4' : 'ipv6';
  if (family === 'ipv4' ? !isIPv4(right) : !isIPv6(right)) return false;
  const list = new BlockList();
  list.addAddress(left, family);
  return list.check(right, family);
}

async function ownsOneOf(pid: number, inodes: readonly string[]): Promise<boolean> {
  if (inodes.length === 0) return false;
  const wanted = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const links = await Promise.all(
    descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  );
  return links.some((link) => wanted.has(link));
}
