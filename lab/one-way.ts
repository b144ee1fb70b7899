/**
 * Cuts in one direction only. The sender learns a wrong hardware address of the receiver, so that its frames arrive at
 * nobody's door, silently; what the receiver sends still arrives, answers to its ARP requests included. It needs no
 * packet filter in the kernel and concerns the two alone.
 */
import { execa } from 'execa';
import { controlAddress } from './network.ts';
import type { Lab } from './lab.ts';

/** One direction between two hosts, or between a host and the control side (`control`). */
export interface OneWay {
  from: string;
  to: string;
}

/** Nobody has it: locally administered, outside of the hosts' own. */
const nobody = '02:00:5e:ff:ff:ff';

/** What `from` sends to `to` vanishes from now on; the result mends it. Guests' own traffic is not concerned. */
export async function cutOneWay(lab: Lab, { from, to }: OneWay): Promise<() => Promise<void>> {
  const address = to === 'control' ? controlAddress : lab.host(to).address;
  const [netns, device] =
    from === 'control' ? [lab.switchNetns, 'sw0'] : [lab.host(from).netns, 'br0'];
  const neighbour = (...words: string[]): Promise<unknown> =>
    execa('ip', ['-n', netns, 'neighbour', ...words], { timeout: 10_000 });
  await neighbour('replace', address, 'lladdr', nobody, 'nud', 'permanent', 'dev', device);
  return async () => {
    await neighbour('del', address, 'dev', device);
  };
}

/** Cuts a host off the control side, both ways; hosts still reach each other. The result mends it. */
export async function cutControl(lab: Lab, host: string): Promise<() => Promise<void>> {
  const out = await cutOneWay(lab, { from: host, to: 'control' });
  const back = await cutOneWay(lab, { from: 'control', to: host });
  return async () => {
    await back();
    await out();
  };
}
