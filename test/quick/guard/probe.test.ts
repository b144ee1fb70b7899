import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { installHook } from '../../../guard/install.ts';
import { probeDomainXml, probeHook } from '../../../guard/probe.ts';
import type { Ledger } from '../../../guard/ledger.ts';
import { runHook } from './hook-run.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const domain = { type: 'qemu' } as const;
const setUp = () => {
  const ledger = ledgerIn(stateFolder());
  const destroyed: string[] = [];
  const destroyDomain = (uuid: string) => Promise.resolve(destroyed.push(uuid));
  return { ledger, destroyed, destroyDomain };
};
const files = (ledger: Ledger) => readdirSync(ledger.folder);

describe('probeHook', () => {
  it('is live when the installed hook refuses the probe, and leaves nothing behind', async () => {
    const { ledger, destroyed, destroyDomain } = setUp();
    const hooksDir = `${ledger.stateDir}/hooks`;
    await installHook({ hooksDir, stateDir: ledger.stateDir });
    const createDomain = (xml: string) => {
      const { status, stderr } = runHook(`${hooksDir}/qemu.d/50-vmferry`, xml);
      const cause = new Error(`Hook script execution failed: ${stderr}`);
      return status === 0 ? Promise.resolve() : Promise.reject(new Error('refused', { cause }));
    };
    const result = await probeHook({ ledger, domain, createDomain, destroyDomain });
    expect(result).toMatchObject({ live: true });
    expect(destroyed).toEqual([]);
    expect(files(ledger)).toEqual([]);
  });

  it('is not live when the probe starts; the probe is ended', async () => {
    const { ledger, destroyed, destroyDomain } = setUp();
    const createDomain = vi.fn((_xml: string) => Promise.resolve());
    const result = await probeHook({ ledger, domain, createDomain, destroyDomain });
    expect(result).toMatchObject({ live: false });
    expect(destroyed).toHaveLength(1);
    expect(createDomain.mock.calls[0]![0]).toContain(`<uuid>${destroyed[0]}</uuid>`);
    expect(files(ledger)).toEqual([]);
  });

  it('is not live when libvirt fails for another reason, which is told', async () => {
    const { ledger, destroyDomain } = setUp();
    const createDomain = () => Promise.reject(new Error('vmferry: no emulator'));
    const result = await probeHook({ ledger, domain, createDomain, destroyDomain });
    expect(result.live).toBe(false);
    expect(result.detail).toContain('no emulator');
    expect(files(ledger)).toEqual([]);
  });

  it('is not live when libvirt does not answer in time; a late start is ended', async () => {
    const { ledger, destroyed, destroyDomain } = setUp();
    const createDomain = () => new Promise(() => undefined);
    const probe = probeHook({ ledger, domain, createDomain, destroyDomain, timeoutMs: 30 });
    expect((await probe).live).toBe(false);
    expect(destroyed).toHaveLength(1);
    expect(files(ledger)).toEqual([]);
  });

  it('clears away what a killed worker left, but neither a fresh probe nor anything else', async () => {
    const { ledger, destroyDomain } = setUp();
    const left = { migrationId: 'vmferry-probe', name: 'vmferry-probe-x' };
    const [old, fresh, other] = [randomUUID(), randomUUID(), randomUUID()];
    await ledger.transition(old, to('quarantined', { ...left, epoch: Date.now() - 3_600_000 }));
    await ledger.transition(fresh, to('quarantined', { ...left, epoch: Date.now() }));
    await ledger.transition(other, to('quarantined'));
    const createDomain = () => Promise.resolve();
    await probeHook({ ledger, domain, createDomain, destroyDomain });
    const kept = (await ledger.list()).entries.map((entry) => entry.uuid);
    expect(kept.sort()).toEqual([fresh, other].sort());
  });
});

describe('probeDomainXml', () => {
  it('names the emulator and machine it is given, escaped', () => {
    const xml = probeDomainXml(randomUUID(), { type: 'kvm', emulator: '/a&b<', machine: "q'35" });
    expect(xml).toContain('<emulator>/a&amp;b&lt;</emulator>');
    expect(xml).toContain("machine='q&apos;35'");
  });
});
