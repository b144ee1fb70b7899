/** The rehearsal of an import: after the conversion, before anything of it comes to the target. */
import type { RehearseInput } from '../activities/import/contract.ts';
import { ImportPhase, importStepNames } from '../domain/import.ts';
import type { ImportVmInput } from './contract.ts';
import type { Import, Judged } from './import.ts';
import { limits } from './on-host.ts';

type Planned = Pick<Judged, 'foreign' | 'plan'>;

function inputFor({ ref, input }: Import, { foreign, plan }: Planned): RehearseInput | undefined {
  const { rehearse: wish } = input.request;
  return wish === undefined ? undefined : { ...ref, vm: foreign.vm, plan, wish };
}

/** What keeps a check from being asked is known before the source is touched. */
export async function checkRehearsal(run: Import, judged: Planned): Promise<void> {
  const input = inputFor(run, judged);
  if (input === undefined) return;
  await run.hosts.do({
    host: run.input.request.conversionHost,
    what: `see how ${judged.plan.name} can be rehearsed`,
    limit: limits.check,
    call: (at) => at.checkRehearsal(input),
  });
}

export async function rehearse(run: Import, judged: Judged): Promise<void> {
  const input = inputFor(run, judged);
  if (input === undefined) return;
  const { record, hosts } = run;
  record.enter(ImportPhase.rehearsing);
  const report = await record.during('rehearse', () =>
    hosts.do({
      host: run.input.request.conversionHost,
      what: `rehearse ${judged.plan.name}`,
      limit: limits.bulk,
      call: (at) => at.rehearse(input),
    }),
  );
  record.report.rehearsal = report;
  if (report.outcome === 'unproved') record.note(`the rehearsal proves nothing: ${report.saw}`);
}

export const isRehearsalOnly = ({ input }: Pick<Import, 'input'>): boolean =>
  input.request.rehearse?.only === true;

/** The source of a rehearsal alone goes on as it is, whatever the request says of it. */
export function untouched(input: ImportVmInput): ImportVmInput {
  if (!isRehearsalOnly({ input })) return input;
  return { ...input, request: { ...input.request, running: 'leave' } };
}

/** Nothing comes to a target: the source is as it was, and what was copied serves the import itself. */
export async function endAsRehearsed({ record, undo }: Import): Promise<void> {
  record.skip(...importStepNames);
  await undo.runAll();
  record.end(ImportPhase.rehearsed);
}
