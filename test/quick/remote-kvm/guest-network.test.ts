/** What a guest says of its network, which is its own to invent. */
import { describe, expect, it } from 'vitest';
import type { ForeignNic } from '../../../domain/foreign.ts';
import { guestNetworkOf } from '../../../platforms/remote-kvm/guest-network.ts';

const mac = '52:54:00:aa:00:01';
const nics: ForeignNic[] = [
  { key: '0', mac, network: 'default', model: 'virtio', connected: true },
];
const reported = (name: string, hwaddr: string | undefined, ...addrs: [string, number][]) => ({
  name,
  hwaddr,
  addrs: addrs.map(([addr, prefix]) => ({ addr, prefix })),
});

describe("a guest's network", () => {
  it('comes from the agent with its names, and from the leases with the origin', () => {
    const agent = [
      reported('lo', '00:00:00:00:00:00', ['127.0.0.1', 8]),
      reported(
        'ens3',
        mac.toUpperCase(),
        ['198.51.100.7', 24],
        ['198.51.100.8', 24],
        ['fe80::1', 64],
      ),
      reported('docker0', '02:42:00:00:00:01', ['172.17.0.1', 16]),
    ];
    const lease = [reported('vnet0', mac, ['198.51.100.7', 24])];
    expect(guestNetworkOf({ agent, lease, arp: [] }, nics)).toEqual([
      {
        mac,
        name: 'ens3',
        addresses: [
          { address: '198.51.100.7', prefix: 24, origin: 'dhcp' },
          { address: '198.51.100.8', prefix: 24, origin: 'unknown' },
          { address: 'fe80::1', prefix: 64, origin: 'linklayer' },
        ],
        ...{ gateways: [], dns: [], searchDomains: [] },
      },
    ]);
  });

  it('comes from leases and ARP table, without names, where no agent answers', () => {
    const lease = [reported('vnet0', mac, ['198.51.100.7', 24])];
    const arp = [reported('vnet0', mac, ['198.51.100.7', 0], ['198.51.100.9', 0])];
    expect(guestNetworkOf({ agent: undefined, lease, arp }, nics)).toMatchObject([
      {
        mac,
        name: '',
        addresses: [
          { address: '198.51.100.7', prefix: 24, origin: 'dhcp' },
          { address: '198.51.100.9', prefix: 0, origin: 'unknown' },
        ],
      },
    ]);
  });

  it('leaves out what is no address, and what would write to a terminal', () => {
    const agent = [
      reported(
        'e\u001B[2Jth0',
        mac,
        ['1.2.3.4; reboot', 24],
        ['198.51.100.7', 33],
        ['198.51.100.8', 24],
      ),
      reported('none', undefined, ['198.51.100.9', 24]),
    ];
    expect(guestNetworkOf({ agent, lease: [], arp: [] }, nics)).toMatchObject([
      { name: 'e[2Jth0', addresses: [{ address: '198.51.100.8' }] },
    ]);
  });

  it('is bounded, whatever a guest invents', () => {
    const many = Array.from({ length: 2000 }, (_, nth): [string, number] => [
      `10.0.${nth >> 8}.${nth & 255}`,
      8,
    ]);
    const agent = Array.from({ length: 500 }, (_, nth) => reported(`e${nth}`, mac, ...many));
    const found = guestNetworkOf({ agent, lease: [], arp: [] }, nics);
    expect(found.length).toBeLessThanOrEqual(64);
    for (const { addresses } of found) expect(addresses.length).toBeLessThanOrEqual(64);
  });
});
