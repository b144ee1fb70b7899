import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

export interface LabHostStatus {
  name: string;
  address: string;
  state: 'up' | 'frozen' | 'off';
  holderPid: number | undefined;
  /** Undefined while it does not run. */
  libvirtdPid: number | undefined;
  /** Empty where libvirtd could not be asked. */
  vms: { name: string; state: string }[];
  /** Why it could not; '' if it was. */
  problem: string;
}

/** `virsh list --all` has an ID or -, a name and a state of one or more words in each line. */
function readVms(listing: string): { name: string; state: string }[] {
  return listing.split('\n').flatMap((line) => {
    const [, name, state] = /^\s*(?:\d+|-)\s+(\S+)\s+(\S.*?)\s*$/.exec(line) ?? [];
    return name === undefined || state === undefined ? [] : [{ name, state }];
  });
}

async function hostStatus(host: LabHost): Promise<LabHostStatus> {
  const { name, address } = host;
  const silent = { name, address, libvirtdPid: undefined, vms: [], problem: '' };
  if (!host.isUp) return { ...silent, state: 'off', holderPid: undefined };
  const holderPid = host.pid;
  if (host.isFrozen) return { ...silent, state: 'frozen', holderPid };
  const libvirtdPid = host.libvirtd.find()?.pid;
  const known = { ...silent, state: 'up' as const, holderPid, libvirtdPid };
  if (libvirtdPid === undefined) return { ...known, problem: 'libvirtd does not run' };
  const list = await host.exec(['virsh', '-q', 'list', '--all'], {
    timeoutMs: 10_000,
    reject: false,
  });
  return list.failed
    ? { ...known, problem: list.timedOut ? 'libvirtd does not answer' : list.stderr }
    : { ...known, vms: readVms(list.stdout) };
}

/** What stands and runs in a lab now. At most 10 s, also if a libvirtd hangs. */
export const labStatus = (lab: Lab): Promise<LabHostStatus[]> =>
  Promise.all(lab.hosts.map(hostStatus));
