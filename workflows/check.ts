import { Handling } from '../domain/errors.ts';
import { blocks } from '../domain/concerns.ts';
import type { Concern } from '../domain/concerns.ts';
import type { DiskPlan } from '../domain/disk-plan.ts';
import { Phase } from '../domain/move.ts';
import type { MoveReport, MoveRequest } from '../domain/move.ts';
import type { Compensation } from './compensations.ts';
import { MoveFailed } from './faults.ts';
import type { SourceCheck, TargetCheck } from '../activities/contract.ts';
import type { Checked, Move } from './move.ts';
import { activitiesOf, limits } from './on-host.ts';

/** Both hosts judge the move before anything is touched; a critical concern ends it here. */
export async function judge(move: Move): Promise<Checked> {
  const { record } = move;
  record.enter(Phase.checking);
  return record.during('check', async () => {
    try {
      return await bothJudge(move);
    } catch (error) {
      if (!goesColdInstead(move, error)) throw error;
      return bothJudge(move);
    }
  });
}

async function bothJudge(move: Move): Promise<Checked> {
  readAhead(move);
  const source = await checkSource(move);
  refuseCriticals(source.concerns);
  const target = await checkTarget(move, source);
  refuseCriticals(target.concerns);
  showDisks(move, target.disks);
  const epoch = Math.max(source.ledger?.epoch ?? 1, target.ledger?.epoch ?? 1);
  const targetAddress = target.migrationAddress ?? move.input.request.to;
  return { source, disks: target.disks, epoch, targetAddress };
}

/**
 * The target reads itself while the source does; it judges by that. Whatever goes wrong here, the check will tell. Where
 * placement chose, more moves may come to the host at a time: it has read itself lately.
 */
function readAhead({ input }: Move): void {
  const { to } = input.request;
  if (input.placement !== undefined) return;
  void activitiesOf(to, `${to}: read its facts ahead of the check`, limits.check)
    .hostFacts()
    .catch(() => undefined);
}

/** Turns a live move that a concern forbids into a cold one, if that was allowed. */
function goesColdInstead(move: Move, error: unknown): boolean {
  const { record, input } = move;
  const { live, ...cold } = input.request;
  if (live?.fallback !== 'cold' || !(error instanceof MoveFailed)) return false;
  const { code, message } = error.fault;
  const { report } = record;
  if (!blocks(report.concerns.filter((concern) => concern.code === code))) return false;
  move.input = { ...input, request: cold };
  if (report.live !== undefined) report.live.gaveUp = message;
  record.note(`${input.vm.name} cannot move live (${message}); it is moved cold, as asked`);
  record.skip('live');
  // Both hosts judge anew, by the rules of a cold move.
  report.concerns = [];
  return true;
}

/** What the source says; its concerns stand in the report. */
export async function checkSource(move: Move): Promise<SourceCheck> {
  const { record, hosts, undo, ref, input } = move;
  const { request } = input;
  const { from, to } = request;
  undo.push({
    name: `close the exports of ${from}`,
    run: () =>
      hosts.do({
        host: from,
        what: 'close exports',
        limit: limits.act,
        call: (at) => at.closeExports({ ...ref, over: true }),
      }),
  });
  try {
    const source = await hosts.do({
      host: from,
      what: `check ${input.vm.name}`,
      limit: limits.check,
      call: (at) =>
        at.checkSource({
          ...ref,
          request,
          target: to,
          ...(input.targetAddress === undefined ? {} : { targetAddress: input.targetAddress }),
        }),
    });
    record.report.vmRunning = source.vm.state === 'running';
    record.report.concerns.push(...source.concerns);
    return source;
  } catch (error) {
    // If no worker ever took it up there is nothing to undo, and nobody who could.
    if (record.report.firstError?.code === 'worker-unreachable') undo.forget();
    throw error;
  }
}

/** What the target says, and where each disk would go. */
export async function checkTarget(move: Move, source: SourceCheck): Promise<TargetCheck> {
  const { record, hosts, ref, input, undo } = move;
  const { request } = input;
  const target = await hosts
    .do({
      host: request.to,
      what: `check room and fit for ${input.vm.name}`,
      limit: limits.check,
      call: (at) => at.checkTarget({ ...ref, request, source }),
    })
    .catch((error: unknown) => {
      // It may have taken the definition over, unless no worker ever heard of it.
      const unheard = error instanceof MoveFailed && error.fault.code === 'worker-unreachable';
      if (!unheard) undo.push(clearingOfTarget(move, () => 0));
      throw error;
    });
  record.report.concerns.push(...target.concerns);
  record.report.oneRunning = source.guardLive && target.guardLive ? 'enforced' : 'none';
  return target;
}

/** Removes what this move made on the target. Before the reservation that is a file, under no epoch yet. */
export function clearingOfTarget(move: Move, epoch: () => number): Compensation {
  const { hosts, ref, input } = move;
  const host = input.request.to;
  return {
    name: `clear ${host} of what the move made there`,
    run: () => {
      const { strangers } = move;
      const known = {
        ...(strangers === undefined ? {} : { strangers }),
        ...(keepsTarget(move) ? { keepVolumes: true as const } : {}),
      };
      return hosts.do({
        host,
        what: 'clear the target',
        limit: limits.act,
        call: (at) => at.clearTarget({ ...ref, epoch: epoch(), ...known }),
      });
    },
  };
}

/** Whether the volumes of a live move that failed stay, for a person to look at. */
function keepsTarget({ input, reserving, record }: Move): boolean {
  const { live, to } = input.request;
  if (live?.keepTargetOnFailure !== true || reserving !== true) return false;
  record.note(`what was made on ${to} stays, as asked: \`vmferry orphans --host ${to}\` lists it`);
  return true;
}

/** What the move is called. */
export function modeOf(
  { live }: Pick<MoveRequest, 'live'>,
  disks: readonly DiskPlan[],
): MoveReport['mode'] {
  if (live !== undefined) return 'live';
  return disks.length > 0 && disks.every(({ how }) => how === 'shared') ? 'shared' : 'cold';
}

function showDisks({ record, input }: Move, disks: readonly DiskPlan[]): void {
  const { report } = record;
  const copied = disks.filter(({ how }) => how === 'copy');
  report.mode = modeOf(input.request, disks);
  report.disks = disks.map(({ name, capacityBytes, proof }) => ({
    name,
    capacityBytes,
    bytesCopied: 0,
    bytesRecopied: 0,
    verified: false,
    ...(proof === undefined ? {} : { shared: proof }),
  }));
  if (copied.length === 0) record.skip('export', 'copy');
  if (comparedDisks(disks, input.request.verify).length > 0) return;
  record.skip('verify');
}

/** Disks whose bytes are compared at the end: copies if asked for, and always what is shared by word alone. */
export const comparedDisks = (disks: readonly DiskPlan[], verify: 'full' | 'off'): DiskPlan[] =>
  disks.filter(({ how, proof }) => (how === 'copy' ? verify === 'full' : proof === 'content'));

/** The first critical concern becomes the fault; all of them stand in the list. */
function refuseCriticals(found: readonly Concern[]): void {
  if (!blocks(found)) return;
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
