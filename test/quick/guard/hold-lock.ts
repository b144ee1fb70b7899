/** A process of its own for tests: `hold-lock.ts STATE_DIR UUID` takes the lock, says so, and keeps it until killed. */
import { withVmLock } from '../../../guard/lock.ts';

const [stateDir = '', uuid = ''] = process.argv.slice(2);
await withVmLock({ stateDir, uuid, timeoutMs: 5000, operation: 'cut over web' }, async () => {
  process.stdout.write('held\n');
  await new Promise((resolve) => setTimeout(resolve, 60_000));
});
