import { Handling } from '../domain/errors.ts';
import type { Concern } from '../domain/concerns.ts';
import { Phase } from '../domain/move.ts';
import { MoveFailed } from './faults.ts';
import type { SourceCheck } from '../activities/contract.ts';
import type { Checked, Move } from './move.ts';
import { limits } from './on-host.ts';

/** Both hosts judge the move before anything is touched; a critical concern ends it here. */
export async function judge(move: Move): Promise<Checked> {
  const { record, hosts, ref, input, undo } = move;
  const { request } = input;
  const { from, to } = request;
  record.enter(Phase.checking);
  return record.during('check', async () => {
    undo.push({
      name: `close the exports of ${from}`,
      run: () =>
        hosts.do({
          host: from,
          what: 'close exports',
          limit: limits.act,
          call: (at) => at.closeExports(ref),
        }),
    });
    const source = await checkSource(move);
    record.report.vmRunning = source.vm.state === 'running';
    refuseCriticals(record.report.concerns, source.concerns);
    const target = await hosts.do({
      host: to,
      what: `check room and fit for ${input.vm.name}`,
      limit: limits.check,
      call: (at) => at.checkTarget({ ...ref, request, source }),
    });
    refuseCriticals(record.report.concerns, target.concerns);
    record.report.oneRunning = source.guardLive && target.guardLive ? 'enforced' : 'none';
    record.report.disks = target.disks.map(({ name, capacityBytes }) => ({
      name,
      capacityBytes,
      bytesCopied: 0,
      bytesRecopied: 0,
      verified: false,
    }));
    const epoch = Math.max(source.ledger?.epoch ?? 1, target.ledger?.epoch ?? 1);
    return { source, disks: target.disks, epoch };
  });
}

async function checkSource({ record, hosts, undo, ref, input }: Move): Promise<SourceCheck> {
  const { request } = input;
  const { from, to } = request;
  try {
    return await hosts.do({
      host: from,
      what: `check ${input.vm.name}`,
      limit: limits.check,
      call: (at) => at.checkSource({ ...ref, request, target: to }),
    });
  } catch (error) {
    // If no worker ever took it up there is nothing to undo, and nobody who could.
    if (record.report.firstError?.code === 'worker-unreachable') undo.forget();
    throw error;
  }
}

/** Adds to the list; the first critical concern becomes the fault, the others stand in the list. */
function refuseCriticals(all: Concern[], found: readonly Concern[]): void {
  all.push(...found);
  const critical = found.find((concern) => concern.level === 'critical');
  if (critical === undefined) return;
  const { code, message, remedy, host } = critical;
  throw new MoveFailed({
    code,
    handling: Handling.permanent,
    message,
    remedy,
    ...(host === undefined ? {} : { host }),
  });
}
