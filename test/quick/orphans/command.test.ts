import { expect, it } from 'vitest';
import type { OrphanFerry } from '../../../cli/commands/orphans.ts';
import type { Ferry } from '../../../cli/ferry.ts';
import { runCli } from '../../../cli/program.ts';
import type { OrphanLine } from '../../../domain/orphans.ts';
import { backendWith, FakeMove, ferryWith, terminalWith } from '../cli/fake-client.ts';

const volume: OrphanLine = {
  id: '0123456789ab',
  host: 'beta',
  kind: 'volume',
  what: '/var/lib/libvirt/images/web.qcow2',
  moveId: 'migrate/default/0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90',
  migrationId: 'run-1',
  vm: { name: 'web', uuid: '0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90' },
  since: '2026-03-04T10:00:00.000Z',
  why: 'Temporal says that the move of web was terminated, without its undo; its target volume was left',
  remedy: '`vmferry orphans remove 0123456789ab --host beta --yes` once nobody needs it',
  sizeBytes: 3 * 1024 ** 3,
  usedBy: [],
  removable: true,
};

async function run(args: string[], change: Partial<OrphanFerry> = {}) {
  const orders: object[] = [];
  const asked: object[] = [];
  const orphans: OrphanFerry = {
    orphans: (options) => {
      asked.push(options);
      return Promise.resolve({ orphans: [volume], unreachable: [] });
    },
    settleOrphan: (order) => {
      orders.push(order);
      const done = order.order === 'remove' ? 'removed' : 'kept';
      return Promise.resolve({ id: order.id, what: volume.what, done });
    },
    ...change,
  };
  const ferry: Ferry & OrphanFerry = { ...ferryWith(new FakeMove()), ...orphans };
  const terminal = terminalWith({ columns: 140 });
  const code = await runCli(['orphans', ...args], { terminal, backend: backendWith(ferry) });
  return { code, out: terminal.stdout(), err: terminal.stderr(), orders, asked };
}

it('lists each orphan with what, where, size, since, of which VM, why and what to do', async () => {
  const { code, out, asked } = await run([]);
  expect(code).toBe(0);
  expect(asked).toEqual([{}]);
  expect(out).toMatch(/0123456789ab +beta +volume +3\S* GiB +\S.* web +\/var\/lib\/libvirt/);
  expect(out).toContain('was terminated');
  expect(out).toContain('orphans remove 0123456789ab');
});

it('asks only the hosts that are named', async () => {
  expect((await run(['--host', 'beta', '--host', 'gamma'])).asked).toEqual([
    { hosts: ['beta', 'gamma'] },
  ]);
});

it('gives the same as JSON', async () => {
  const { out } = await run(['-o', 'json']);
  expect(JSON.parse(out)).toEqual({ orphans: [volume], unreachable: [] });
});

it('does not look whole where a host did not answer', async () => {
  const unreachable = [{ host: 'gamma', reason: 'no worker took it up' }];
  const orphans = () => Promise.resolve({ orphans: [], unreachable });
  const { code, out, err } = await run([], { orphans });
  expect(code).toBe(1);
  expect(out).toContain('No orphans.');
  expect(err).toContain('no answer from gamma: no worker took it up');
});

it('says who uses a disk instead of how to remove it', async () => {
  const used = { ...volume, usedBy: ['VM squatter'], removable: false };
  const orphans = () => Promise.resolve({ orphans: [used], unreachable: [] });
  const { out } = await run([], { orphans });
  expect(out).toContain('Used by VM squatter: it is never removed.');
  expect(out).not.toContain('orphans remove');
});

it('removes only with --yes and on a named host', async () => {
  const unsaid = await run(['remove', volume.id, '--host', 'beta']);
  expect(unsaid).toMatchObject({ code: 2, orders: [] });
  expect(unsaid.err).toContain('--yes');
  expect(await run(['remove', volume.id, '--yes'])).toMatchObject({ code: 2, orders: [] });
  const said = await run(['remove', volume.id, '--host', 'beta', '--yes']);
  expect(said).toMatchObject({
    code: 0,
    orders: [{ host: 'beta', id: volume.id, order: 'remove' }],
  });
  expect(said.out).toContain('Removed /var/lib/libvirt/images/web.qcow2 on beta.');
});

it('keeps without further words', async () => {
  const { code, orders, out } = await run(['keep', volume.id, '--host', 'beta', '-o', 'json']);
  expect(code).toBe(0);
  expect(orders).toEqual([{ host: 'beta', id: volume.id, order: 'keep' }]);
  expect(JSON.parse(out)).toEqual({ id: volume.id, what: volume.what, done: 'kept' });
});

it('lets no name of a file play with the terminal', async () => {
  const nasty = { ...volume, what: '/x/\u001b]0;owned\u0007', why: 'a\u001b[2Jb' };
  const orphans = () => Promise.resolve({ orphans: [nasty], unreachable: [] });
  const { out } = await run([], { orphans });
  for (const control of ['\u001b]', '\u001b[2J', '\u0007']) expect(out).not.toContain(control);
});
