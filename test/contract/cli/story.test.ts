/** Orders and stories through a real Temporal server, with real workflows and played hosts. */
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../../cli/program.ts';
import { outputs } from '../../../cli/output/catalogue.ts';
import { VmFerry } from '../../../client/vmferry.ts';
import type { MoveReport, Story } from '../../../client/vmferry.ts';
import { backendWith, terminalWith } from '../../quick/cli/fake-client.ts';
import { FakeWorld } from '../../quick/workflows/fake-hosts.ts';
import { MoveBench } from '../../quick/workflows/move-bench.ts';
import { request } from '../../quick/workflows/move-request.ts';

let bench: MoveBench;
beforeAll(async () => {
  bench = await MoveBench.open();
}, 120_000);
afterAll(() => bench.close());

/** A client of the bench's server; whoever calls closes it. */
const ferryTo = (handle: WorkflowHandle, operator: string): Promise<VmFerry> =>
  VmFerry.connectWith({
    address: (handle.client.connection as unknown as { options: { address: string } }).options
      .address,
    dataConverter: {},
    operator,
  });

/** Runs one command line against that server. */
async function cli(handle: WorkflowHandle, args: string[], operator = 'ada@desk') {
  const terminal = terminalWith();
  const ferry = await ferryTo(handle, operator);
  const backend = backendWith(ferry, { connect: () => Promise.resolve(ferry) });
  const code = await runCli(args, { terminal: { ...terminal, now: Date.now }, backend });
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

const parkingWorld = (): FakeWorld => {
  const world = new FakeWorld({ running: true });
  const handling = 'needs-operator';
  world.injections.push({ host: 'beta', verb: 'ensureCopied', when: 'before', handling, times: 1 });
  return world;
};

describe('a move on a real server', () => {
  it('is retried and committed by people whose names stand in its report and its story', async () => {
    let parked: Story | undefined;
    let told: Awaited<ReturnType<typeof cli>> | undefined;
    const report: MoveReport = await bench.run(
      parkingWorld(),
      request({ autoCommit: false }),
      async (handle) => {
        const id = handle.workflowId;
        const waited = await cli(handle, ['status', id, '--watch', '-o', 'json']);
        expect(waited.code).toBe(4);
        const before = await cli(handle, ['explain', id, '-o', 'json']);
        parked = outputs.story.parse(JSON.parse(before.out)) as Story;
        expect((await cli(handle, ['retry', id], 'bob@desk')).code).toBe(0);
        expect((await cli(handle, ['commit', id, '-o', 'json'])).code).toBe(0);
        told = await cli(handle, ['explain', id]);
      },
    );
    expect(parked).toMatchObject({ phase: 'parked', parkedIn: 'copying', downNow: true });
    expect(report.orders?.map(({ order, operator }) => `${order} ${operator}`)).toEqual([
      'retry bob@desk',
      'commit ada@desk',
    ]);
    expect(outputs.report.safeParse(report).error?.issues ?? []).toEqual([]);
    expect(told).toMatchObject({ code: 0, err: '' });
    expect(told?.out).toContain('bob@desk gave the order: retry.');
    expect(told?.out).toContain('ada@desk gave the order: commit.');
    expect(told?.out).toContain('moved from alpha to beta, and the move is committed.');
  });

  it('is cancelled by somebody with a name', async () => {
    let story: Story | undefined;
    const report: MoveReport = await bench.run(parkingWorld(), request(), async (handle) => {
      const id = handle.workflowId;
      expect((await cli(handle, ['status', id, '--watch'])).code).toBe(4);
      expect((await cli(handle, ['cancel', id], 'eve@desk')).code).toBe(0);
      story = JSON.parse((await cli(handle, ['explain', id, '-o', 'json'])).out) as Story;
    });
    expect(report.phase).toBe('cancelled');
    expect(report.orders).toMatchObject([{ order: 'cancel', operator: 'eve@desk' }]);
    expect(story).toMatchObject({ end: 'cancelled', vmOn: 'alpha', vmRunning: true });
    expect(story?.timeline.find(({ kind }) => kind === 'order')).toMatchObject({ by: 'eve@desk' });
  });

  it('that was terminated is still explained, with what it left', async () => {
    await bench.run(parkingWorld(), request(), async (handle) => {
      const id = handle.workflowId;
      expect((await cli(handle, ['status', id, '--watch'])).code).toBe(4);
      await handle.terminate('in a hurry');
      const { code, out } = await cli(handle, ['explain', id]);
      expect(code).toBe(0);
      expect(out).toContain('terminated the workflow in Temporal: in a hurry.');
      expect(out).toContain('The guard of alpha still refuses to start web.');
    });
  });

  it('that nobody knows is refused by its code', async () => {
    await bench.run(new FakeWorld({ running: false }), request(), async (handle) => {
      const { code, err } = await cli(handle, ['explain', 'migrate/default/none', '-o', 'json']);
      expect({ code, err }).toMatchObject({ code: 3 });
      expect(JSON.parse(err)).toMatchObject({ error: { code: 'move-not-found' } });
      const args = ['explain', handle.workflowId, '--run', 'nonsense'];
      const other = await cli(handle, args);
      expect(other).toMatchObject({ code: 3 });
      expect(other.err).toContain('keeps no history of');
    });
  });
});
