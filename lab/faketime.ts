/**
 * A clock of its own for one process: libfaketime, from Debian's package, unpacked and not installed. The machine has one
 * clock for all hosts, so a jump is shown to a process, and to what it starts, in place of it.
 */
import { copyFile, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { needsOperator } from '../domain/errors.ts';

const library = 'libfaketimeMT.so.1';

/** Path of the library, fetched once. Throws `lab-faketime-unavailable`. */
async function ensureLibrary(toolsDir: string): Promise<string> {
  const path = join(toolsDir, library);
  if ((await stat(path).catch(() => undefined)) !== undefined) return path;
  await mkdir(toolsDir, { recursive: true });
  const draft = await mkdtemp(join(toolsDir, 'draft-'));
  try {
    const args = ['-q', '-o', 'APT::Sandbox::User=root', 'download', 'libfaketime'];
    await execa('apt-get', args, { cwd: draft, timeout: 180_000 });
    const [deb = ''] = (await readdir(draft)).filter((file) => file.endsWith('.deb'));
    const root = join(draft, 'root');
    await execa('dpkg-deb', ['-x', join(draft, deb), root], { timeout: 60_000 });
    const found = (await readdir(root, { recursive: true })).find((file) => file.endsWith(library));
    await copyFile(join(root, found ?? library), join(draft, library));
    // Another process may be doing the same: the last one to rename wins, with the same file.
    await rename(join(draft, library), path);
    return path;
  } catch (cause) {
    throw needsOperator({
      code: 'lab-faketime-unavailable',
      message: "libfaketime could not be had from Debian's package of that name",
      remedy: 'See that `apt-get download libfaketime` works here, then try again.',
      cause,
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** A wall clock that can be set apart from the machine's; its monotonic clock stays. */
export class FakeClock {
  /** For the process that is to live by it. */
  readonly environment: NodeJS.ProcessEnv;
  readonly #file: string;

  private constructor(file: string, libraryPath: string) {
    this.#file = file;
    this.environment = {
      LD_PRELOAD: libraryPath,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // Seconds until a process has seen that the file changed.
      FAKETIME_CACHE_DURATION: '1',
    };
  }

  /** A clock that is right. `folder` holds its file and has to be seen by the process under the same path. */
  static async in(folder: string): Promise<FakeClock> {
    const toolsDir = join(import.meta.dirname, '..', '.tools', 'faketime');
    const clock = new FakeClock(join(folder, 'clock'), await ensureLibrary(toolsDir));
    await clock.jump(0);
    return clock;
  }

  /** Sets it this many seconds ahead of the machine's (or behind); noticed within about a second. */
  async jump(seconds: number): Promise<void> {
    // Replaced as a whole: a process that reads in the middle would see no offset.
    await writeFile(`${this.#file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
    await rename(`${this.#file}.new`, this.#file);
  }
}
