import { describe, expect, it } from 'vitest';
import { comparableCpu, cpuTiesOf, isModelUsable } from '../../../platforms/libvirt/cpu.ts';
import { parseXml } from '../../../platforms/libvirt/xml.ts';

const domain = (xml: string) =>
  parseXml(`<domain type='kvm'>${xml}</domain>`, { root: 'domain' }).documentElement!;
const capabilities = (supported: string) => `<domainCapabilities><cpu>
  <mode name='host-passthrough' supported='yes'/>
  <mode name='host-model' supported='${supported}'>
    <model fallback='forbid'>EPYC</model><vendor>AMD</vendor><feature policy='require' name='x2apic'/>
  </mode>
  <mode name='custom' supported='yes'>
    <model usable='yes'>EPYC</model><model usable='no'>Skylake-Server</model><model usable='unknown'>old</model>
  </mode></cpu></domainCapabilities>`;
const named = (model: string) =>
  `<cpu mode='custom'><model fallback='forbid'>${model}</model></cpu>`;

describe('the CPU that another host is asked for', () => {
  it('is the named model with the features that the guest got', () => {
    const cpu = `<cpu mode="custom" match="exact"><model>EPYC</model><feature policy="disable" name="svm"/></cpu>`;
    expect(comparableCpu(domain(cpu), '')).toBe(cpu);
  });
  it.each(['host-passthrough', 'maximum', 'host-model'])(
    'is the source’s own in libvirt’s words, where the guest has it as %s',
    (mode) => {
      const found = comparableCpu(domain(`<cpu mode='${mode}'/>`), capabilities('yes'));
      expect(found).toContain('<model fallback="forbid">EPYC</model><vendor>AMD</vendor>');
      expect(found).toMatch(/^<cpu mode='custom' match='exact'>.*x2apic.*<\/cpu>$/);
    },
  );
  it.each([
    ['no CPU is named', '', capabilities('yes')],
    ['only its topology is', `<cpu><topology sockets='1' cores='2' threads='1'/></cpu>`, ''],
    ['libvirt has no words for it', `<cpu mode='host-passthrough'/>`, capabilities('no')],
    ['the host offers no such machine', `<cpu mode='host-passthrough'/>`, ''],
  ])('is none where %s', (_what, cpu, offered) => {
    expect(comparableCpu(domain(cpu), offered)).toBe('');
  });
});

describe('a CPU is tied to its host', () => {
  const invtsc = (policy: string) =>
    `<cpu mode='custom'><model>EPYC</model><feature policy='${policy}' name='invtsc'/></cpu>`;
  const timer = `<clock offset='utc'><timer name='tsc' frequency='2400000000'/></clock>`;
  it.each([
    [invtsc('require'), ['it has the feature invtsc, and no <timer> that pins its frequency']],
    [invtsc('disable'), []],
    [invtsc('require') + timer, []],
    [
      `<cpu mode='host-passthrough' migratable='off'/>`,
      [`it is host-passthrough with migratable='off'`],
    ],
    [`<cpu mode='host-passthrough' migratable='on'/>`, []],
    ['', []],
  ])('%s', (xml, ties) => {
    expect(cpuTiesOf(domain(xml))).toEqual(ties);
  });
});

describe('the list of models', () => {
  it.each([
    ['EPYC', true],
    ['Skylake-Server', false],
    ['old', undefined],
    ['never-heard-of', false],
  ])('says of %s: %s', (model, usable) => {
    expect(isModelUsable(named(model), capabilities('yes'))).toBe(usable);
  });
  it('says nothing where there is none', () => {
    expect(isModelUsable(named('EPYC'), '')).toBeUndefined();
  });
});
