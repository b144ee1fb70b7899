import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PolicyFile } from '../../../workers/policy-file.ts';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-policy-'));
  path = join(dir, 'policy.yaml');
});
afterEach(() => rm(dir, { recursive: true }));

const put = (text: string): Promise<void> => writeFile(path, text, { mode: 0o600 });

it('allows everything where there is no file and nobody named one', async () => {
  const state = await new PolicyFile({ usual: path }).current();
  expect(state).toMatchObject({ state: 'read', policy: { peers: ['*'] } });
});

it('lets nothing in where the configuration names a file that is not there', async () => {
  const state = await new PolicyFile({ path }).current();
  expect(state).toMatchObject({ state: 'broken', file: path });
});

it('reads every key, and what is left out stays allowed', async () => {
  await put(`
verbs: {move-away: false}
peers: [beta, "rack1-*"]
pools: [default]
paths: [/var/lib/libvirt/images]
operators: {deny: ["guest@*"]}
bandwidth: 100MiB/s
`);
  const state = await new PolicyFile({ path }).current();
  expect(state).toEqual({
    state: 'read',
    policy: {
      file: path,
      verbs: {
        'move-away': false,
        'move-here': true,
        'remove-source': true,
        'force-off': true,
        'remove-orphan': true,
      },
      peers: ['beta', 'rack1-*'],
      pools: ['default'],
      paths: ['/var/lib/libvirt/images'],
      operators: { allow: ['*'], deny: ['guest@*'] },
      bandwidthBytesPerSecond: 100 * 1024 * 1024,
    },
  });
});

it('takes an empty file for one that forbids nothing', async () => {
  await put('# nothing yet\n');
  expect((await new PolicyFile({ path }).current()).state).toBe('read');
});

it.each([
  ['a key that it does not know', 'peer: [beta]', 'peer'],
  ['a verb that it does not know', 'verbs: {move: false}', 'verbs'],
  ['a value of another kind', 'peers: beta', 'peers'],
  ['a rate that is none', 'bandwidth: fast', 'bandwidth'],
  ['half a file', 'peers: [beta', ''],
  ['a list for a policy', '- beta', ''],
  ['aliases that multiply', `a: &a [x,x]\nb: &b [${'*a,'.repeat(200)}]\npeers: [*b]`, ''],
])('lets nothing in by %s', async (_, text, named) => {
  await put(text);
  const state = await new PolicyFile({ path }).current();
  expect(state.state).toBe('broken');
  if (state.state !== 'broken') return;
  expect(state.reason).toContain(named);
  expect(state.reason).not.toContain('\n');
});

it('does not believe a file that others may write', async () => {
  await put('peers: [beta]');
  await chmod(path, 0o666);
  expect(await new PolicyFile({ path }).current()).toMatchObject({
    state: 'broken',
    reason: expect.stringContaining('may write it') as string,
  });
});

it('sees each change at once, also one back from broken', async () => {
  const file = new PolicyFile({ path });
  await put('peers: [beta]');
  expect(await file.current()).toMatchObject({ policy: { peers: ['beta'] } });
  await put('peers: [beta');
  expect((await file.current()).state).toBe('broken');
  const other = join(dir, 'new');
  await writeFile(other, 'peers: [gamma]', { mode: 0o600 });
  await rename(other, path);
  expect(await file.current()).toMatchObject({ policy: { peers: ['gamma'] } });
});

it('does not take a policy that vanished for permission', async () => {
  const file = new PolicyFile({ usual: path });
  await put('peers: [beta]');
  await file.current();
  await rm(path);
  expect(await file.current()).toMatchObject({ state: 'broken' });
});
