import { expect, it } from 'vitest';
import { parseManifest } from '../../../platforms/ova/manifest.ts';

const hex = (length: number): string => 'Ab'.repeat(length / 2);

it('reads all digests, line ends and names with spaces and brackets', () => {
  const text = [
    `SHA1(web.ovf)= ${hex(40)}`,
    `SHA256 (disk 1 (copy).vmdk) = ${hex(64)}`,
    '',
    `SHA-512(b.vmdk)=${hex(128)}`,
  ].join('\r\n');
  expect([...parseManifest(text, 'x.ova').values()]).toEqual([
    { name: 'web.ovf', algorithm: 'sha1', digest: hex(40).toLowerCase() },
    { name: 'disk 1 (copy).vmdk', algorithm: 'sha256', digest: hex(64).toLowerCase() },
    { name: 'b.vmdk', algorithm: 'sha512', digest: hex(128).toLowerCase() },
  ]);
});

it.each([
  ['an unknown digest', `MD5(a)= ${hex(32)}`],
  ['a digest of the wrong length', `SHA256(a)= ${hex(40)}`],
  ['no name', `SHA1()= ${hex(40)}`],
  ['words', 'hello'],
])('refuses a line with %s, and names it', (_, line) => {
  expect(() => parseManifest(`\n${line}`, 'x.ova')).toThrow(/line 2 of its manifest/);
});

it('refuses two digests of one file, and too many lines', () => {
  const twice = `SHA1(a)= ${hex(40)}\nSHA1(a)= ${'0'.repeat(40)}`;
  expect(() => parseManifest(twice, 'x.ova')).toThrow(/"a" twice/);
  expect(() => parseManifest('\n'.repeat(30_000), 'x.ova')).toThrow(/lines/);
});
