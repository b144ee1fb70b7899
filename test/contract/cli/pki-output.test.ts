import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { outputs } from '../../../cli/output/catalogue.ts';
import type { OutputName } from '../../../cli/output/names.ts';
import { run } from '../../quick/cli/run.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-pki-output-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it('pki prints its authority and its certificates as their schemas say', async () => {
  const pki = async (name: OutputName, ...args: string[]): Promise<unknown> => {
    const { code, out } = await run(['pki', ...args, '--dir', join(dir, 'ca'), '-o', 'json']);
    expect(code).toBe(0);
    const value: unknown = JSON.parse(out);
    expect(outputs[name].safeParse(value).error?.issues ?? []).toEqual([]);
    return value;
  };
  await pki('authority', 'init');
  await pki('certificate', 'issue', 'alpha', '--address', '198.51.100.11');
  await pki('certificate', 'renew', 'alpha');
  await pki('certificate', 'revoke', 'alpha', '--reason', 'stolen');
  expect(await pki('certificates', 'list')).toHaveLength(2);
});
