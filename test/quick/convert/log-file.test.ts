import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LogFile } from '../../../convert/log-file.ts';

it('a log keeps its beginning and its end within bounds, for its owner only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'log-'));
  try {
    const path = join(folder, 'log');
    const log = await LogFile.open(path, { headBytes: 1000, tailBytes: 1000 });
    for (let line = 0; line < 10_000; line += 1) log.write(`line ${line}\n`);
    await log.close();
    const text = await readFile(path, 'utf8');
    expect(text.startsWith('line 0\nline 1\n')).toBe(true);
    expect(text.endsWith('line 9998\nline 9999\n')).toBe(true);
    expect(text).toMatch(/\n\.\.\. \d+ characters left out \.\.\.\n/);
    expect(text.length).toBeLessThan(2100);
    expect(log.text.endsWith('line 9999\n')).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  } finally {
    await rm(folder, { recursive: true });
  }
});
