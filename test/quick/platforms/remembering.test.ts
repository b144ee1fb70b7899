import { expect, it } from 'vitest';
import { remembering } from '../../../platforms/libvirt/remembering.ts';

it('reads a text once, and again only after hundreds of others', () => {
  const read: string[] = [];
  const lengthOf = remembering((text) => read.push(text));
  const [first] = [lengthOf('a'), lengthOf('a')];
  expect([read, lengthOf('a')]).toEqual([['a'], first]);
  for (let other = 0; other < 511; other++) {
    lengthOf(`other ${other}`);
    // Asked for in between it stays.
    if (other === 400) lengthOf('a');
  }
  lengthOf('a');
  expect(read.filter((text) => text === 'a')).toHaveLength(1);
  for (let other = 0; other < 512; other++) lengthOf(`more ${other}`);
  lengthOf('a');
  expect(read.filter((text) => text === 'a')).toHaveLength(2);
});

it('does not remember what could not be read', () => {
  let isWhole = false;
  const read = remembering((text) => {
    if (!isWhole) throw new Error('broken');
    return text;
  });
  expect(() => read('x')).toThrow('broken');
  isWhole = true;
  expect(read('x')).toBe('x');
});
