import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backend } from '../../../cli/backend.ts';
import { runCli } from '../../../cli/program.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { terminalWith } from './fake-client.ts';

const uuid = '6e1da7ec-f864-4a42-9bd1-93a335788ca2';
let dir: string;
let config: string;
let ledger: Ledger;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-guard-'));
  config = join(dir, 'vmferry.yaml');
  await writeFile(config, `host: { name: alpha, migrationAddress: 127.0.0.1, stateDir: ${dir} }\n`);
  ledger = new Ledger({ stateDir: dir, host: 'alpha' });
  const note = 'moved to beta';
  await ledger.transition(uuid, {
    to: 'released',
    epoch: 3,
    migrationId: 'm',
    name: 'web',
    note,
    disks: [],
  });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const run = async (...args: string[]) => {
  const terminal = terminalWith();
  const code = await runCli(['--config', config, ...args], { terminal, backend });
  return { code, out: terminal.stdout(), err: terminal.stderr() };
};

describe('vmferry guard', () => {
  it('shows who may run which VM on this host', async () => {
    const { code, out } = await run('guard', 'show');
    expect(code).toBe(0);
    expect(out).toMatch(/web +released +3 +6e1da7ec-\S+ +moved to beta/);
  });

  it("takes a VM over by a person's word, with the reason on record", async () => {
    const { code, out } = await run('guard', 'claim', uuid, '--reason', 'beta burnt down');
    expect(code).toBe(0);
    expect(out).toContain(`alpha owns web (${uuid}) at epoch 4.`);
    expect(await ledger.read(uuid)).toMatchObject({ state: 'owner', epoch: 4 });
    expect(await readFile(join(dir, 'audit.log'), 'utf8')).toContain('beta burnt down');
  });

  it('refuses a claim without a reason', async () => {
    const { code, err } = await run('guard', 'claim', uuid);
    expect(code).toBe(2);
    expect(err).toContain('--reason');
    expect(await ledger.read(uuid)).toMatchObject({ state: 'released', epoch: 3 });
  });
});
