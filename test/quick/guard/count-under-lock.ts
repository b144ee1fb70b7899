/** A process of its own for tests: `count-under-lock.ts STATE_DIR UUID FILE TIMES` reads a number and writes the next. */
import { readFile, writeFile } from 'node:fs/promises';
import { withVmLock } from '../../../guard/lock.ts';

const [stateDir = '', uuid = '', file = '', times = ''] = process.argv.slice(2);
for (let done = 0; done < Number(times); done += 1) {
  await withVmLock({ stateDir, uuid, timeoutMs: 15_000 }, async () => {
    const before = Number(await readFile(file, 'utf8'));
    await new Promise(setImmediate);
    await writeFile(file, String(before + 1));
  });
}
