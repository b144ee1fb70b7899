/** The vCenter of the lab as a program: built once by Go, kept among the tools of the checkout by what it was built from. */
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { needsOperator } from '../../domain/errors.ts';

const folder = import.meta.dirname;
const toolsDir = join(folder, '..', '..', '.tools', 'vcenter');
/** Half a minute of processor time; more than that on a machine that is busy with other things. */
const buildLimitMs = 1_200_000;

/** Path of the program as these sources make it; undefined if it has not been built yet. */
async function builtProgram(): Promise<{ path: string; isThere: boolean }> {
  const hash = createHash('sha256');
  const names = (await readdir(folder)).filter((name) => /\.go$|^go\.(?:mod|sum)$/.test(name));
  for (const name of names.toSorted()) {
    hash.update(`${name}\0`).update(await readFile(join(folder, name)));
  }
  const path = join(toolsDir, `vcenter-${hash.digest('hex').slice(0, 16)}`);
  return { path, isThere: await exists(path) };
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Why there can be no vCenter here, for those who skip what needs one; undefined if there can be. */
export async function vcenterShortcoming(): Promise<string | undefined> {
  const { isThere } = await builtProgram();
  if (isThere) return undefined;
  const { failed } = await execa('go', ['version'], { reject: false, timeout: 30_000 });
  return failed
    ? 'Go (1.25 or newer) is not installed, and the lab vCenter is built by it'
    : undefined;
}

/** The program, built if these sources were not yet. Throws `lab-vcenter-unavailable`. */
export async function ensureVcenterProgram(): Promise<string> {
  const { path, isThere } = await builtProgram();
  if (isThere) return path;
  await mkdir(toolsDir, { recursive: true });
  const draft = `${path}.${process.pid}`;
  try {
    // Without its table of symbols it takes half the room.
    const args = ['build', '-trimpath', '-ldflags=-s -w', '-o', draft, '.'];
    await execa('nice', ['-n', '19', 'go', ...args], { cwd: folder, timeout: buildLimitMs });
    // Another process may be doing the same: the last one to rename wins, with the same file.
    await rename(draft, path);
    return path;
  } catch (cause) {
    throw needsOperator({
      code: 'lab-vcenter-unavailable',
      message: 'the lab vCenter could not be built',
      remedy: 'See that `go build` works in lab/vcenter: it needs Go 1.25 and the Go module proxy.',
      cause,
    });
  } finally {
    await rm(draft, { force: true });
  }
}
