/** The orders a person gives to a move that exists; each is followed to where the move then rests. */
import { Command } from 'commander';
import type { ImportReport } from '../../domain/import.ts';
import type { MoveReport } from '../../domain/move.ts';
import { isImport } from '../ferry.ts';
import type { FerryWork } from '../ferry.ts';
import { accompany } from '../finish.ts';
import { accompanyImport } from '../imports.ts';
import { outputOption } from '../options.ts';
import { shellWord } from '../render/text.ts';
import type { Session } from '../session.ts';

interface Order {
  name: string;
  summary: string;
  description: string;
  give(move: FerryWork, options: OrderOptions): Promise<void>;
  /** The end that the order asks for, if it asks for one. */
  wished?: 'committed' | 'rolled-back' | 'cancelled';
}

interface OrderOptions {
  detach?: true;
  discardTargetWrites?: true;
}

async function run(
  session: Session,
  order: Order,
  id: string,
  options: OrderOptions,
): Promise<void> {
  await session.withFerry(async (ferry) => {
    const move = await ferry.work(id);
    const { report } = await move.status();
    await order.give(move, options);
    if (options.detach === true) {
      if (session.output === 'json') session.printJson({ id: move.id, accepted: order.name });
      else session.print([`Accepted: ${order.name} ${report.id}`]);
      return;
    }
    const wished = order.wished === undefined ? {} : { wished: order.wished };
    if (isImport(move)) {
      // One that was over began anew: its first report is another.
      const before = report as ImportReport;
      await accompanyImport(session, move, { before, ...wished });
      return;
    }
    await accompany(session, move, {
      word: shellWord(id),
      before: report as MoveReport,
      ...wished,
    });
  });
}

const orderCommand = (session: Session, order: Order): Command =>
  new Command(order.name)
    .summary(order.summary)
    .description(order.description)
    .argument('<id>', "ID of the move or import, or the VM's name or UUID")
    .option('--detach', 'give the order and return')
    .addOption(outputOption())
    .action((id: string, options: OrderOptions) => run(session, order, id, options));

/** `vmferry commit ID` */
export const commitCommand = (session: Session): Command =>
  orderCommand(session, {
    name: 'commit',
    summary: 'keep the VM on the target; a move is removed from its source',
    description:
      'Ends a move or an import that waits for it: the VM stays on the target. Of a move its definition and disks on the source are removed for good; of an import only what was copied to the conversion host, and its source stays.',
    give: (move) => move.commit(),
    wished: 'committed',
  });

/** `vmferry rollback ID` */
export const rollbackCommand = (session: Session): Command =>
  orderCommand(session, {
    name: 'rollback',
    summary: 'bring the VM back to the source',
    description:
      'Undoes a move or an import that is not committed: the VM lives on the source again, the copy on the target is removed. If it has run on the target, what it wrote there is lost, and you have to say so.',
    give: (move, { discardTargetWrites }) =>
      move.rollback({ discardTargetWrites: discardTargetWrites === true }),
    wished: 'rolled-back',
  }).option('--discard-target-writes', 'lose what the VM wrote on the target');

/** `vmferry cancel ID` */
export const cancelCommand = (session: Session): Command =>
  orderCommand(session, {
    name: 'cancel',
    summary: 'stop a move or an import under way and undo it',
    description:
      'Stops a move or an import that is under way and undoes what it did; the VM stays on the source. What an import copied is kept for the next try.',
    give: (move) => move.cancel(),
    wished: 'cancelled',
  });

/** `vmferry retry ID` */
export const retryCommand = (session: Session): Command =>
  orderCommand(session, {
    name: 'retry',
    summary: 'let a parked move or import go on, or a failed import begin anew',
    description:
      'Lets a parked move or import try again where it stopped, once the cause is mended. An import that failed, was cancelled or rolled back begins anew as it was asked for; what is in the cache is not copied again.',
    give: (move) => move.retry(),
  });
