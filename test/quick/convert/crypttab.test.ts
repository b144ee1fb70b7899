import { describe, expect, it } from 'vitest';
import { crypttabPlan } from '../../../convert/crypttab.ts';

const uuid = '85ba044e-7ba1-42b6-b3f5-616d059f9483';
const other = '0c5de8ad-03fd-4c5f-9d4b-6b6be4a2b2d1';

describe('entries of a crypttab that the initramfs has to open', () => {
  it.each([
    ['as an installer writes it', `sda5_crypt UUID=${uuid} none luks,discard`],
    ['by a link', `sda5_crypt /dev/disk/by-uuid/${uuid} none luks,discard`],
    ['in capitals', `sda5_crypt UUID=${uuid.toUpperCase()} none luks,discard`],
  ])('are marked among others, %s, and these stay as they are', (_is, line) => {
    const before = `# <name> <device> <key> <options>\n${line}\nhome\tUUID=${other}  /etc/keys/home.key luks\n`;
    const plan = crypttabPlan(before, [uuid]);
    expect(plan).toEqual({
      content: before.replace('luks,discard', 'luks,discard,initramfs'),
      ...{ opened: ['sda5_crypt'], unknown: [] },
    });
    expect(crypttabPlan(plan.content, [uuid]).content).toBe(plan.content);
  });

  it('get a key and options where they had none', () => {
    const { content } = crypttabPlan(`root UUID=${uuid}`, [uuid]);
    expect(content).toBe(`root UUID=${uuid} none luks,initramfs`);
  });

  it('are told by being the only one, and get the UUID in place of a name that other hardware changes', () => {
    expect(crypttabPlan('root /dev/sda2 none luks\n', [uuid])).toEqual({
      content: `root UUID=${uuid} none luks,initramfs\n`,
      ...{ opened: ['root'], unknown: [] },
    });
    const partition = 'root PARTUUID=5a0d5600-02 none luks';
    expect(crypttabPlan(partition, [uuid]).content).toBe(`${partition},initramfs`);
  });

  it('are not guessed', () => {
    const two = 'a /dev/sda2 none luks\nb /dev/sdb1 none luks\n';
    expect(crypttabPlan(two, [uuid])).toEqual({ content: two, opened: [], unknown: [uuid] });
    expect(crypttabPlan('', [uuid])).toEqual({ content: '', opened: [], unknown: [uuid] });
    expect(crypttabPlan(`# root UUID=${uuid} none luks`, [uuid]).unknown).toEqual([uuid]);
    const one = `root UUID=${uuid} none luks`;
    expect(crypttabPlan(one, [uuid, other])).toEqual({
      content: `${one},initramfs`,
      ...{ opened: ['root'], unknown: [other] },
    });
  });
});
