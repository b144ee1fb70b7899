import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PinnedServer } from '../../../protocols/soap/trust.ts';
import { SshSession } from '../../../protocols/ssh/index.ts';
import { ownAddressIn } from '../../../workers/own-address.ts';

const inner = (address: string): NetworkInterfaceInfo => {
  const family = address.includes(':') ? 'IPv6' : 'IPv4';
  return { address, family, netmask: '', mac: '', internal: false, cidr: null } as never;
};
const interfaces = {
  lo: [inner('127.0.0.1'), inner('::1')],
  eth0: [inner('192.0.2.7'), inner('fe80::1')],
  eth1: [inner('198.51.100.9'), inner('2001:db8::9')],
};
const own = (network: string): string => ownAddressIn(network, { host: 'alpha', interfaces });

describe('the address of a host in a network', () => {
  it('is found among its interfaces', () => {
    expect(own('198.51.100.0/24')).toBe('198.51.100.9');
    expect(own('192.0.2.0/29')).toBe('192.0.2.7');
    expect(own('2001:db8::/64')).toBe('2001:db8::9');
    expect(ownAddressIn('127.0.0.0/8', { host: 'alpha' })).toBe('127.0.0.1');
  });

  it('that it does not have is told with the network and what to do', () => {
    expect(() => own('203.0.113.0/24')).toThrow('alpha has no address in 203.0.113.0/24');
  });
});

describe('a connection from an address', () => {
  let server: Server;
  const seen: (string | undefined)[] = [];
  beforeAll(async () => {
    server = createServer((socket: Socket) => {
      seen.push(socket.remoteAddress);
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => server.close());
  const there = () => ({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });

  it('is one of SSH that comes from there', async () => {
    const opened = SshSession.open({
      ...{ ...there(), localAddress: '127.0.0.3', username: 'nobody', auth: { password: 'x' } },
      hostKey: { sha256: `SHA256:${'A'.repeat(43)}` },
    });
    await expect(opened).rejects.toThrow();
    expect(seen.at(-1)).toBe('127.0.0.3');
  });

  it('is one of HTTPS that comes from there', async () => {
    const pinned = new PinnedServer({
      ...{ ...there(), localAddress: '127.0.0.4', trust: { insecure: true } },
      connectTimeoutMs: 5_000,
    });
    const { promise, resolve } = Promise.withResolvers<unknown>();
    pinned.connect({}, resolve);
    expect(await promise).toBeInstanceOf(Error);
    expect(seen.at(-1)).toBe('127.0.0.4');
  });
});
