/** Which address of this host lies in a network, for servers and connections that are to use that network. */
import { BlockList, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { needsOperator } from '../domain/errors.ts';

/** The interfaces are asked each time: an address may come up after the worker. Throws `network-not-here`. */
export function ownAddressIn(
  network: string,
  {
    host,
    interfaces = networkInterfaces(),
  }: {
    host: string;
    interfaces?: ReturnType<typeof networkInterfaces>;
  },
): string {
  const [subnet = '', prefix = ''] = network.split('/');
  const family = isIPv6(subnet) ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(subnet, Number(prefix), family);
  for (const one of Object.values(interfaces).flatMap((each) => each ?? [])) {
    if (one.family.toLowerCase() === family && list.check(one.address, family)) return one.address;
  }
  throw needsOperator({
    code: 'network-not-here',
    message: `${host} has no address in ${network}, over which imports are to go`,
    remedy:
      'Give one of its interfaces an address there, or correct `host.conversion.network` and restart its worker; then `vmferry retry`.',
    host,
  });
}
