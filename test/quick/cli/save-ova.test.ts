import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backend } from '../../../cli/backend.ts';
import { outputs } from '../../../cli/output/catalogue.ts';
import { runCli } from '../../../cli/program.ts';
import { collectionOvf, vmwareOvf } from '../ova/ovf-texts.ts';
import { tarOf } from '../ova/tar-writer.ts';
import { terminalWith } from './fake-client.ts';

const blank = [{ id: 'disk1', capacity: 4 * 1024 ** 2 }];
const ovaOf = (ovf: string): Buffer => tarOf([{ name: 'web.ovf', body: Buffer.from(ovf) }]);
const web = ovaOf(vmwareOvf({ name: 'web', disks: blank }));

let dir: string;
let folder: string;
let config: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-save-ova-'));
  folder = join(dir, 'ovas');
  await mkdir(folder);
  config = join(dir, 'vmferry.yaml');
  const lines = [
    `host:`,
    `  name: alpha`,
    `  migrationAddress: 127.0.0.1`,
    `  stateDir: ${dir}`,
    `  providers:`,
    `    ovas: { kind: ova, folder: ${folder} }`,
    `    old: { kind: kvm, address: old.example, user: root, agent: /run/agent, hostKey: "SHA256:${'A'.repeat(43)}" }`,
    '',
  ];
  await writeFile(config, lines.join('\n'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function saved(input: Readable | undefined, ...args: string[]) {
  const terminal = terminalWith(input === undefined ? {} : { input });
  const line = ['--config', config, 'save-ova', ...args];
  const code = await runCli(line, { terminal, backend });
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

describe('vmferry save-ova', () => {
  it('says what came, and what to do next', async () => {
    const { code, out } = await saved(Readable.from([web]), 'web.ova', '--provider', 'ovas');
    expect(code).toBe(0);
    expect(out).toContain(`${join(folder, 'web.ova')}: 4.00 KiB, one machine`);
    expect(out).toContain('web.ova#web  web, 4 CPUs, 2.00 GiB, 4.00 MiB of disks');
    expect(out).toContain(`inspect --provider ovas web.ova\n`);
    expect(await readdir(folder)).toEqual(['web.ova']);
  });

  it('names one of several machines in what to do next', async () => {
    const both = collectionOvf(['one', 'two'].map((name) => ({ name, disks: blank })));
    const { out } = await saved(Readable.from([ovaOf(both)]), 'pair.ova', '--provider', 'ovas');
    expect(out).toContain('2 machines');
    expect(out).toMatch(/inspect --provider ovas '?pair\.ova#one'?\n/);
  });

  it('prints it as data', async () => {
    const args = ['web.ova', '--provider', 'ovas', '-o', 'json'];
    const { out } = await saved(Readable.from([web]), ...args);
    expect(outputs['saved-ova'].parse(JSON.parse(out))).toMatchObject({
      file: 'web.ova',
      sizeBytes: web.length,
      vms: [{ id: 'web.ova#web', name: 'web' }],
    });
  });

  it('does not wait for a person to type an OVA', async () => {
    const { code, err } = await saved(undefined, 'web.ova', '--provider', 'ovas');
    expect(code).toBe(2);
    expect(err).toContain('nothing is piped in');
  });

  it.each([
    ['elsewhere', 'names no provider elsewhere'],
    ['old', 'of kind kvm'],
    ['constructor', 'names no provider constructor'],
  ])('has no folder for the provider %s, and says which it has', async (provider, words) => {
    const input = Readable.from([web]);
    const { code, err } = await saved(input, 'web.ova', '--provider', provider);
    expect(code).toBe(1);
    expect(err).toContain(words);
    expect(err.replaceAll(/\s+/g, ' ')).toContain('of kind ova');
    expect(input.readableDidRead).toBe(false);
  });

  it('refuses what is no OVA by code 3', async () => {
    const input = Readable.from([Buffer.from('<html>'.repeat(200))]);
    const { code, err } = await saved(input, 'web.ova', '--provider', 'ovas');
    expect({ code, tar: err.includes('no tar archive') }).toEqual({ code: 3, tar: true });
  });

  it('that is stopped keeps nothing, and says so by code 5', async () => {
    const input = new PassThrough();
    const terminal = terminalWith({ input });
    const line = ['--config', config, 'save-ova', 'web.ova', '--provider', 'ovas'];
    const running = runCli(line, { terminal, backend });
    input.write(web.subarray(0, 1024));
    await expect.poll(() => readdir(folder)).toHaveLength(1);
    terminal.interrupt();
    expect(await running).toBe(5);
    expect(terminal.stderr()).toContain('nothing of web.ova was kept');
    expect(await readdir(folder)).toEqual([]);
  });

  it('shows how much came while it comes', async () => {
    const input = new PassThrough();
    const terminal = terminalWith({ input, isTTY: true, columns: 80, rows: 24 });
    const line = ['--config', config, 'save-ova', 'web.ova', '--provider', 'ovas'];
    const running = runCli(line, { terminal, backend });
    input.write(web.subarray(0, 1024));
    await expect.poll(() => terminal.stderr()).toMatch(/web\.ova: 1\.00 KiB came, .*\/s/);
    input.end(web.subarray(1024));
    expect(await running).toBe(0);
  });
});
