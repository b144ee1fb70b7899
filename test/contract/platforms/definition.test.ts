/** A mended definition, judged by libxml2, the parser that libvirt itself uses. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DomainDocument } from '../../../platforms/libvirt/domain-xml.ts';
import { run } from './host.ts';
import { mendings, note } from './random-definition.ts';

const definitions = 150;
const fixtures = join(import.meta.dirname, '../../fixtures/domains');
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-c14n-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Canonical XML (C14N 1.0, comments kept) of each text, all by few processes. */
async function canonical(texts: readonly string[]): Promise<string[]> {
  const forms: string[] = [];
  const path = join(dir, 'document.xml');
  for (const [at, text] of texts.entries()) {
    await writeFile(`${path}.${at}`, text);
  }
  for (let from = 0; from < texts.length; from += 50) {
    const files = texts.slice(from, from + 50).map((_, at) => `${path}.${from + at}`);
    const script =
      'for f in "$@"; do xmllint --nonet --huge --c14n "$f" || exit; printf "\\0"; done';
    const { stdout } = await run('sh', ['-c', script, 'sh', ...files], {
      maxBuffer: 64 * 1024 ** 2,
      timeout: 60_000,
    });
    forms.push(...stdout.split('\0').slice(0, -1));
  }
  return forms;
}

describe.skipIf(!existsSync('/usr/bin/xmllint'))('a definition', () => {
  it('is changed in what was meant to change and in nothing else', async () => {
    const seed = Date.now() % 2 ** 31;
    const samples = fc.sample(mendings, { numRuns: definitions, seed });
    const mended = samples.map(({ before, place }) => {
      const document = DomainDocument.parse(before);
      document.mendForTarget({ disks: [{ name: 'vda', ...place }], note });
      return document.toString();
    });
    const [expected, made] = [
      await canonical(samples.map(({ after }) => after)),
      await canonical(mended),
    ];
    expect(made).toHaveLength(definitions);
    for (const [at, form] of made.entries()) {
      expect(form, `seed ${seed}, ${at}: ${samples[at]!.before}`).toBe(expected[at]);
    }
  });

  it('of a real guest means the same after it was read and written', async () => {
    const names = await readdir(fixtures);
    const texts = await Promise.all(names.map((name) => readFile(join(fixtures, name), 'utf8')));
    const written = texts.map((text) => DomainDocument.parse(text).toString());
    expect(await canonical(written)).toEqual(await canonical(texts));
  });
});
