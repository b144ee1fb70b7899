import {
  ApplicationFailure,
  condition,
  continueAsNew,
  defineSignal,
  setHandler,
} from '@temporalio/workflow';

const endSignal = defineSignal<['well' | 'badly' | 'anew']>('end');

/** Stands for a move: it waits until it is told how to end. */
export async function waiting(generation: number): Promise<void> {
  let end: 'well' | 'badly' | 'anew' | undefined;
  setHandler(endSignal, (how) => {
    end = how;
  });
  await condition(() => end !== undefined);
  if (end === 'badly') throw ApplicationFailure.nonRetryable('as told');
  if (end === 'anew') await continueAsNew<typeof waiting>(generation + 1);
}
