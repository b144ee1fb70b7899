import { CancellationScope } from '@temporalio/workflow';

/** Runs all at once; the first failure cancels the others and waits until they have ended on their hosts. */
export async function allOrNone(work: readonly (() => Promise<void>)[]): Promise<void> {
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    let first: { error: unknown } | undefined;
    const guarded = work.map(async (run) => {
      try {
        await run();
      } catch (error) {
        first ??= { error };
        if (!scope.consideredCancelled) scope.cancel();
      }
    });
    await Promise.all(guarded);
    if (first !== undefined) throw first.error;
  });
}
