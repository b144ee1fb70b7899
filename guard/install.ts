import { createHash } from 'node:crypto';
import { lstat, mkdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { needsOperator, permanent } from '../domain/errors.ts';
import { replaceDurably } from './durable.ts';

export interface HookPlace {
  /** libvirt's folder of hooks. */
  hooksDir?: string;
  /** The state folder whose ledger the hook is to read; written into the script. Absolute. */
  stateDir: string;
}

export type InstallResult = 'installed' | 'updated' | 'unchanged';

/** What stands in the hook's place. */
export interface HookStatus {
  path: string;
  /** `current`: what `installHook` would write; `outdated`: ours, another version or state folder; `foreign`: not ours. */
  state: 'absent' | 'current' | 'outdated' | 'foreign';
  /** For people: why it is foreign or outdated. */
  detail: string;
}

const defaultHooksDir = '/etc/libvirt/hooks';
const mark = '# vmferry-hook ';
const template = join(import.meta.dirname, 'hook', '50-vmferry');
const mode = 0o755;

const hookPath = (place: Pick<HookPlace, 'hooksDir'>): string =>
  join(place.hooksDir ?? defaultHooksDir, 'qemu.d', '50-vmferry');

/** The hook and the folders that libvirt finds it in: what is done to it shows in one of these. */
export const hookPaths = (place: Pick<HookPlace, 'hooksDir'>): string[] => {
  const path = hookPath(place);
  return [path, dirname(path), dirname(dirname(path))];
};

/**
 * Puts the hook into `<hooksDir>/qemu.d/50-vmferry` and makes the ledger's folder, without which it refuses all starts.
 * A file there that is not ours is left alone: `hook-foreign` (needs an operator). libvirtd sees a *new* hook only
 * after `reloadLibvirtd`; whether it is live, `probeHook` shows.
 */
export async function installHook(place: HookPlace): Promise<InstallResult> {
  const text = await renderHook(place.stateDir);
  const path = hookPath(place);
  const status = await hookStatus(place);
  if (status.state === 'foreign') {
    throw needsOperator({
      code: 'hook-foreign',
      message: `${path} is not a hook of vmferry: ${status.detail}`,
      remedy: 'It was left as it is. Move it to another name in the same folder, then retry.',
    });
  }
  await mkdir(join(place.stateDir, 'ledger'), { recursive: true, mode: 0o700 });
  if (status.state === 'current') return 'unchanged';
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  // libvirt runs every executable file of qemu.d, so the unfinished one lies a folder higher.
  const temporary = join(dirname(dirname(path)), '.50-vmferry.new');
  await replaceDurably({ path, temporary, mode }, Buffer.from(text));
  return status.state === 'absent' ? 'installed' : 'updated';
}

/** What stands in the hook's place, compared with what `installHook` would write. */
export async function hookStatus(place: HookPlace): Promise<HookStatus> {
  const path = hookPath(place);
  const facts = await lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (facts === undefined) return { path, state: 'absent', detail: 'there is no such file' };
  if (!facts.isFile()) {
    return { path, state: 'foreign', detail: 'it is a symbolic link or no regular file' };
  }
  const text = await readFile(path, 'utf8');
  if (!text.split('\n', 2)[1]?.startsWith(mark)) {
    return { path, state: 'foreign', detail: 'its second line does not name vmferry' };
  }
  if (text !== (await renderHook(place.stateDir))) {
    return { path, state: 'outdated', detail: 'it is of another version or for another folder' };
  }
  if ((facts.mode & 0o777) !== mode) {
    return { path, state: 'outdated', detail: `its mode is ${(facts.mode & 0o777).toString(8)}` };
  }
  return { path, state: 'current', detail: '' };
}

/** The script for a state folder; its second line carries the hash of all the others. */
export async function renderHook(stateDir: string): Promise<string> {
  if (!isAbsolute(stateDir) || /[\0\n]/.test(stateDir)) {
    throw permanent({
      code: 'state-dir-invalid',
      message: `"${stateDir}" is no absolute path for the hook`,
      remedy: 'Set an absolute stateDir in the configuration of this host.',
    });
  }
  const lines = (await readFile(template, 'utf8')).split('\n');
  const at = lines.findIndex((line) => line.startsWith('state_dir='));
  if (at < 0 || !lines[1]?.startsWith(mark)) throw new Error(`${template} is not the hook`);
  lines[at] = `state_dir='${stateDir.replaceAll("'", "'\\''")}'`;
  lines.splice(1, 1);
  const hash = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
  lines.splice(1, 0, `${mark}${hash} (written by vmferry; changes made here are lost)`);
  return lines.join('\n');
}

export interface DaemonPlace {
  /** As libvirtd or virtqemud writes it. */
  pidFile: string;
}

/**
 * Makes the daemon look for hooks again (SIGHUP; guests go on running). Gives its PID. Throws `libvirtd-not-found`
 * (needs an operator) unless the PID file names a libvirtd or virtqemud: for any other process the signal is death.
 */
export async function reloadLibvirtd(place: DaemonPlace): Promise<number> {
  const pid = await daemonPid(place.pidFile);
  process.kill(pid, 'SIGHUP');
  return pid;
}

async function daemonPid(pidFile: string): Promise<number> {
  const fail = (why: string, cause?: unknown) =>
    needsOperator({
      code: 'libvirtd-not-found',
      message: `no libvirt daemon could be told of the hook: ${why}`,
      remedy: 'Run `systemctl reload libvirtd` (or virtqemud) on that host.',
      cause,
    });
  let text: string;
  let name: string;
  try {
    text = (await readFile(pidFile, 'ascii')).trim();
  } catch (error) {
    throw fail(`${pidFile} cannot be read`, error);
  }
  if (!/^[1-9]\d{0,9}$/.test(text)) throw fail(`${pidFile} holds no process ID`);
  try {
    name = (await readFile(`/proc/${text}/comm`, 'utf8')).trim();
  } catch (error) {
    throw fail(`process ${text} of ${pidFile} does not run`, error);
  }
  if (name !== 'libvirtd' && name !== 'virtqemud')
    throw fail(`process ${text} of ${pidFile} is ${name}`);
  return Number(text);
}
