import { describe, expect, it } from 'vitest';
import { readWishes } from '../../../activities/placement-wishes.ts';

const domain = (metadata: string): string =>
  `<domain type='kvm'><name>web</name><metadata>${metadata}</metadata></domain>`;
/** As libvirt writes what `virsh metadata --key vmferry --set` was given. */
const placement = (wishes: string): string =>
  domain(
    `<vmferry:placement xmlns:vmferry="urn:vmferry:placement:1">${wishes}</vmferry:placement>` +
      '<other:placement xmlns:other="urn:else"><with group="not-ours"/></other:placement>',
  );

describe('what the metadata of a VM says of its placement', () => {
  it('are groups to be with or apart from, and labels', () => {
    const xml = placement(
      '<with group="db"/><apart group="web" strength="soft"/><requires label="disk" value="nvme"/>',
    );
    expect(readWishes(xml)).toEqual({
      problems: [],
      wishes: {
        rules: [
          { kind: 'affinity', group: 'db', strength: 'hard' },
          { kind: 'anti-affinity', group: 'web', strength: 'soft' },
        ],
        requiredLabels: { disk: 'nvme' },
      },
    });
  });

  it('is nothing where there is none', () => {
    const nothing = { problems: [], wishes: { rules: [], requiredLabels: {} } };
    expect(readWishes(domain(''))).toEqual(nothing);
    expect(readWishes("<domain type='kvm'><name>web</name></domain>")).toEqual(nothing);
  });

  it('counts as not understood, never as kept, where it makes no sense', () => {
    for (const wish of [
      '<near group="db"/>',
      '<with group=""/>',
      '<apart group="a" strength="2"/>',
    ])
      expect(readWishes(placement(wish)).problems).toHaveLength(1);
    expect(() => readWishes(placement('<with group="a"/>'.repeat(65)))).toThrow('more than 64');
  });
});
