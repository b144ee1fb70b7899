import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkInterfaces } from '../../../../convert/addresses/interfaces.ts';
import { linuxAddressPlan } from '../../../../convert/addresses/linux.ts';
import { windowsMacArguments, windowsScript } from '../../../../convert/addresses/windows.ts';
import type { GuestInterface } from '../../../../domain/foreign.ts';
import { kept } from './samples.ts';

const said = (more: Partial<GuestInterface> = {}): GuestInterface => ({
  mac: '00:50:56:AA:BB:01',
  name: 'ens192',
  addresses: [
    { address: '198.51.100.20', prefix: 24, origin: 'static' },
    { address: '198.51.100.99', prefix: 24, origin: 'dhcp' },
    { address: 'fe80::1', prefix: 64, origin: 'static' },
    { address: '198.51.100.21', prefix: 33, origin: 'static' },
    { address: 'not an address', prefix: 24, origin: 'static' },
  ],
  gateways: ['198.51.100.1', '; reboot'],
  dns: ["198.51.100.53'"],
  searchDomains: ['example.org', '$(reboot)'],
  ...more,
});

describe('what a guest said of its network', () => {
  it('is kept as far as it makes sense', () => {
    expect(checkInterfaces([said()])).toEqual({
      interfaces: [
        {
          ...{ mac: '00:50:56:aa:bb:01', name: 'ens192', gateways: ['198.51.100.1'], dns: [] },
          addresses: [{ address: '198.51.100.20', prefix: 24, family: 4 }],
          had: ['198.51.100.20'],
          searchDomains: ['example.org'],
        },
      ],
      notes: [],
    });
  });

  it('is left out without a MAC, and a note says so', () => {
    const { interfaces, notes } = checkInterfaces([said({ mac: 'x' })]);
    expect(interfaces).toEqual([]);
    expect(notes).toHaveLength(1);
  });

  it.each(['../x', 'Ethernet 2', '', 'sixteen-letters-'])(
    'keeps its addresses where it goes by %j, which no file of a Linux could have',
    (name) => {
      expect(checkInterfaces([said({ name })])).toMatchObject({
        interfaces: [{ name: '', addresses: [{ address: '198.51.100.20' }] }],
        notes: [],
      });
    },
  );

  it('tells apart what somebody set and what may have been, in one spelling', () => {
    const addresses = [
      { address: '198.51.100.20', prefix: 24, origin: 'unknown' },
      { address: '2001:DB8:0::20', prefix: 64, origin: 'static' },
      { address: '198.51.100.99', prefix: 24, origin: 'dhcp' },
    ] as const;
    expect(checkInterfaces([said({ addresses: [...addresses] })]).interfaces[0]).toMatchObject({
      addresses: [{ address: '2001:db8::20' }],
      had: ['198.51.100.20', '2001:db8::20'],
    });
  });

  it('is left out where two have one name or one MAC', () => {
    const { interfaces, notes } = checkInterfaces([said(), said({ name: 'eth1' })]);
    expect([interfaces.length, notes.length]).toEqual([1, 1]);
  });

  it('never brings a line, a path or a quote of its own into a file', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.constantFrom(
        "'; reboot; '",
        'a\nName=evil',
        '../../etc/passwd',
        '198.51.100.1',
        '2001:db8::1%x',
        'eth0',
      ),
    );
    const origin = fc.constantFrom('static', 'dhcp', 'unknown');
    const address = fc.record({ address: text, prefix: fc.integer({ min: -1, max: 200 }), origin });
    const list = fc.array(text, { maxLength: 3 });
    const record = fc.record({
      mac: fc.constantFrom('00:50:56:aa:bb:01', '00:50:56:aa:bb:02', 'x\ny'),
      name: text,
      addresses: fc.array(address, { maxLength: 3 }),
      ...{ gateways: list, dns: list, searchDomains: list },
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 4 }), (all) => {
        const { interfaces } = checkInterfaces(all);
        const files = new Map([['/etc/network/interfaces', 'auto lo\n']]);
        for (const { path, content } of linuxAddressPlan(files, interfaces, true).changes) {
          expect(path).toMatch(/^\/etc(?:\/[A-Za-z0-9][A-Za-z0-9_.-]*)+$/);
          expect(content).not.toMatch(/reboot|passwd|Name=evil/);
        }
        expect(windowsScript(interfaces)).not.toMatch(/reboot|passwd/);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the script for Windows', () => {
  it('sets each address by the MAC of its interface, after the driver is there', () => {
    const script = windowsScript([kept(), kept({ addresses: [], mac: '00:50:56:aa:bb:02' })]);
    expect(script).toContain("$macs = @('00-50-56-AA-BB-01')\r\n");
    expect(script).toContain(
      "New-NetIPAddress -InterfaceIndex $index -IPAddress '198.51.100.20' -PrefixLength 24 -DefaultGateway '198.51.100.1'\r\n",
    );
    expect(script).toContain("-ServerAddresses @('198.51.100.53')\r\n");
    expect(script.split('\r\n').every((line) => !line.includes('\n'))).toBe(true);
  });

  it('can be virt-v2v’s own, by arguments', () => {
    const more = kept({
      addresses: [...kept().addresses, { address: '198.51.100.21', prefix: 24, family: 4 }],
    });
    expect(windowsMacArguments([more])).toEqual({
      args: [
        ...['--mac', '00:50:56:aa:bb:01:ip:198.51.100.20,198.51.100.1,24,198.51.100.53'],
        ...['--mac', '00:50:56:aa:bb:01:ip:2001:db8::20,2001:db8::1,64'],
      ],
      left: ['198.51.100.21/24'],
    });
  });

  it('is none where nothing is to be set', () => {
    expect(windowsScript([kept({ addresses: [] })])).toBe('');
  });
});
