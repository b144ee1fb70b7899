/**
 * A conversion: overlays over the copied disks, virt-v2v-in-place on the overlays. The copies stay as they are until
 * `commitOverlays`; whatever goes wrong before costs no second copy.
 *
 *   copied disk (raw, qcow2) <--backing-- overlay (qcow2) <--- virt-v2v-in-place
 *            ^                               |
 *            +--------- commit.ts -----------+
 */
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { needsOperator, transient } from '../domain/errors.ts';
import type { ForeignVm } from '../domain/foreign.ts';
import { checkInterfaces } from './addresses/interfaces.ts';
import type { GuestCard, KeptInterface } from './addresses/interfaces.ts';
import { windowsMacArguments } from './addresses/windows.ts';
import type { CrypttabPlan } from './crypttab.ts';
import { conversionFault, virtioInstalled, warningsOf } from './errors.ts';
import type { ConversionWarning } from './errors.ts';
import {
  conversionPaths,
  guestfsEnvironment,
  prepareGuestfsFolders,
} from './guestfs-environment.ts';
import { conversionInputXml } from './input-xml.ts';
import { prepareGuest } from './prepare-guest.ts';
import type { PreparedGuest } from './prepare-guest.ts';
import { ConversionJournal } from './journal.ts';
import { keyArguments } from './keys.ts';
import type { GuestDiskKey } from './keys.ts';
import { checkConversionId, endLabelled, runLabelled } from './labelled-process.ts';
import { LogFile } from './log-file.ts';
import { journalDisks, makeOverlays } from './overlay.ts';
import type { ConversionDisk } from './overlay.ts';
import { StageReader } from './stages.ts';
import type { ConversionProgress } from './stages.ts';
import type { ConversionTool } from './tool.ts';

export interface ConversionRequest {
  /** Labels all that is made and started; that of the move. */
  id: string;
  /** Name of the VM, for people. */
  vm: string;
  /** In the VM's order, the boot disk first. */
  disks: readonly ConversionDisk[];
  firmware: 'bios' | 'uefi';
  /** Private to this conversion: overlays, journal, log. Absolute; on a file system with room for what changes. */
  folder: string;
  /** Of the host, for the appliance. Absolute. */
  cache: string;
  tool: ConversionTool;
  keys?: readonly GuestDiskKey[];
  /** Which of several systems: `first`, `/dev/sda2`. A guest with several is refused if absent. */
  root?: string;
  guestFamily?: ForeignVm['guestFamily'];
  /** All its cards, with what the guest said of them: static addresses and names are kept. MACs are the target's. */
  guestNetwork?: readonly GuestCard[];
  /** Folder or ISO with Windows drivers. */
  virtioWin?: string;
  /** Two hours if absent. */
  limitMs?: number;
  /** The tool's own debug output in the log: much of it. */
  verbose?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: ConversionProgress) => void;
}

export interface ConversionResult {
  /** Overlays by the key of their disk. */
  overlays: { key: string; path: string; base: string }[];
  warnings: ConversionWarning[];
  /** What was done about its network and its boot path, and what could not be, each a sentence. */
  notes: string[];
  /** False: it needs emulated devices still. Absent: the tool did not say. */
  virtio?: boolean;
  logPath: string;
  elapsedMs: number;
  /** An earlier attempt had converted already; nothing was run. */
  already: boolean;
}

const defaultLimitMs = 2 * 3_600_000;
/** Warnings come early; with -v there is no end to what it says. */
const maxSaidLength = 8 * 1024 * 1024;

/**
 * Makes sure that the VM's disks have converted overlays. Called again after a kill it ends what the earlier attempt
 * left running and starts over from the copies, unless the conversion had ended well. Throws what
 * `conversionFault` names, `conversion-too-slow`, `conversion-host-full`, `virtio-win-missing`, or the signal's reason once nothing runs.
 */
export async function convertInPlace(request: ConversionRequest): Promise<ConversionResult> {
  const { id, folder, signal } = request;
  checkConversionId(id);
  const paths = conversionPaths(folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await endLabelled(id);
  if (request.virtioWin !== undefined) await checkDrivers(request.virtioWin);
  const disks = journalDisks(folder, request.disks);
  const journal = await ConversionJournal.open(paths.journal, { id, disks });
  try {
    const overlays = disks.map(({ key, overlay, base }) => ({ key, path: overlay, base }));
    const result = {
      overlays,
      logPath: paths.log,
      warnings: [],
      notes: [],
      elapsedMs: 0,
      already: true,
    };
    if (journal.reached('converted')) return { ...result, ...whatItSaid(await readLog(paths.log)) };
    await rm(paths.temporary, { recursive: true, force: true });
    await prepareGuestfsFolders({ temporary: paths.temporary, cache: request.cache });
    await makeOverlays(journal, { id, ...(signal && { signal }) });
    const log = await LogFile.open(paths.log);
    let run: ToolRun;
    try {
      const preparation = await prepare(request, log);
      for (const note of preparation.notes) log.write(`vmferry: ${note}\n`);
      run = await runTool(request, log, preparation);
    } finally {
      await log.close();
    }
    for (const { key } of disks) await journal.record(key, 'converted');
    return { ...result, ...run, already: false };
  } finally {
    await journal.close();
    // Keys lie in there, too.
    await rm(paths.temporary, { recursive: true, force: true });
    await rm(paths.keys, { recursive: true, force: true });
  }
}

/** virt-v2v would convert without drivers and only warn. */
async function checkDrivers(path: string): Promise<void> {
  try {
    await access(path);
  } catch (cause) {
    throw needsOperator({
      code: 'virtio-win-missing',
      message: `${path}, named as the place of drivers for Windows, cannot be read`,
      remedy: 'Put the ISO or the folder of virtio-win there, then `vmferry retry`.',
      cause,
    });
  }
}

/** Of an earlier attempt; somebody may have removed it. */
const readLog = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

type ToolRun = Pick<ConversionResult, 'warnings' | 'virtio' | 'notes' | 'elapsedMs'>;

interface Preparation {
  /** For the tool. */
  args: string[];
  notes: string[];
}

/** A Linux gets its files now, a Windows a script for its first start, which the tool installs. */
async function prepare(request: ConversionRequest, log: LogFile): Promise<Preparation> {
  const { guestFamily, guestNetwork = [], tool, id, vm, folder, firmware, signal } = request;
  const { limitMs } = request;
  const { interfaces, notes } = checkInterfaces(guestNetwork);
  const isTold = interfaces.some(({ name, had = [] }) => name !== '' || had.length > 0);
  if (guestFamily === 'windows') {
    return prepareWindows(interfaces, { able: tool.options.has('mac'), notes });
  }
  const encrypted = (request.keys ?? []).length > 0;
  const hasCards = interfaces.length > 0;
  // The appliance takes its time: it is not started for nothing.
  if (!hasCards && !encrypted && firmware === 'bios') return { args: [], notes };
  const paths = conversionPaths(folder);
  request.onProgress?.({ stage: 'Preparing the guest', elapsedMs: 0 });
  const preparing = prepareGuest({
    ...{ id, vm, interfaces, firmware, encrypted, logPath: paths.log, cwd: paths.temporary },
    overlays: journalDisks(folder, request.disks).map(({ overlay }) => overlay),
    env: environmentOf(request),
    limitMs: limitMs ?? defaultLimitMs,
    keyArguments: await writeKeys(request),
    ...(signal && { signal }),
    onLog: (text) => log.write(text),
  });
  const isSet = interfaces.some(({ set }) => set !== undefined);
  const isLinux = guestFamily === 'linux';
  // A guest of which nobody says what it is may be a Linux: its files tell. One with a key for it is.
  const isAsked = isSet || encrypted || (isLinux && (isTold || firmware === 'uefi'));
  const prepared = isAsked ? await preparing : await optional(preparing, signal);
  if (prepared === undefined) return { args: [], notes: [...notes, nameNotKept] };
  const isUnclear = !isLinux && isTold && prepared.systems.length === 0;
  return {
    args: [],
    notes: [...notes, ...notesOf(prepared, hasCards), ...(isUnclear ? [systemUnclear] : [])],
  };
}

/** A script for its first start, which the tool installs; who has set an address is to be known for it. */
function prepareWindows(
  interfaces: readonly KeptInterface[],
  { able, notes }: { able: boolean; notes: string[] },
): Preparation {
  const coming = interfaces.filter(({ stays }) => stays !== true);
  const { args, left } = windowsMacArguments(coming);
  const set = coming.flatMap(({ addresses }) => addresses.map(({ address }) => address));
  const lost = able ? left : set;
  const unsure = coming.flatMap(({ had = [] }) => had.filter((address) => !set.includes(address)));
  return {
    args: able ? args : [],
    notes: [
      ...notes,
      ...(lost.length === 0 ? [] : [`To be set by hand in this Windows: ${lost.join(', ')}.`]),
      ...(unsure.length === 0
        ? []
        : [
            `To be set by hand in this Windows, unless a DHCP server gave them (its source does not say): ${unsure.join(', ')}.`,
          ]),
    ],
  };
}

const systemUnclear =
  'Which system it is was not told, and nothing in it tells how its addresses are set: if it is a Windows, set them by hand, or import it with --os windows.';

const nameNotKept =
  'The name of its card was not kept, since its files could not be looked at; the log says why.';

/** A guest that nobody can look into is refused by the tool, which says why; one whose name is lost is a guest still. */
async function optional<T>(work: Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
  try {
    return await work;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

function notesOf(prepared: PreparedGuest, hasNetwork: boolean): string[] {
  const { systems, changes, notes, bootFiles, crypttab } = prepared;
  const by = systems.join(', ') || 'no system that is known';
  const changed = changes.map(({ path }) => path).join(', ') || 'nothing';
  const boot = bootFiles.map(({ to }) => to).join(', ');
  return [
    ...(hasNetwork ? [`Its network is set by ${by}; changed: ${changed}.`] : []),
    ...notes,
    ...(boot === '' ? [] : [`It had no fallback boot path; made: ${boot}.`]),
    ...(crypttab === undefined ? [] : luksNotes(crypttab)),
  ];
}

function luksNotes({ opened, unknown }: CrypttabPlan): string[] {
  const names = opened.join(', ');
  const untold = unknown.join(', ');
  return [
    ...(names === '' ? [] : [`Its initramfs opens ${names}, as its /etc/crypttab says.`]),
    ...(untold === ''
      ? []
      : [
          `No entry of its /etc/crypttab was found for the LUKS ${untold} below its root file system: its initramfs may not open that.`,
        ]),
  ];
}

const environmentOf = ({ folder, cache, tool, virtioWin }: ConversionRequest) =>
  guestfsEnvironment(
    { temporary: conversionPaths(folder).temporary, cache },
    { acceleration: tool.acceleration, ...(virtioWin !== undefined && { virtioWin }) },
  );

async function writeKeys({ folder, keys = [], tool }: ConversionRequest): Promise<string[]> {
  const path = conversionPaths(folder).keys;
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o700 });
  return keyArguments(keys, { folder: path, anyDevice: tool.anyDeviceKey });
}

async function runTool(
  request: ConversionRequest,
  log: LogFile,
  preparation: Preparation,
): Promise<ToolRun> {
  const { id, folder, tool, signal, limitMs = defaultLimitMs, onProgress } = request;
  const stages = new StageReader((progress) => onProgress?.(progress));
  const begin = performance.now();
  let said = '';
  const end = await runLabelled({
    ...{ id, program: tool.program, cwd: folder, limitMs, ...(signal && { signal }) },
    args: await toolArguments(request, preparation),
    env: environmentOf(request),
    onOutput: (text) => {
      log.write(text);
      said = said.length < maxSaidLength ? said + text : said;
      stages.read(text);
    },
  });
  if (end.timedOut) throw tooSlow(request, stages.stage, limitMs);
  if (end.status !== 0) {
    const { status } = end;
    throw conversionFault({ vm: request.vm, log: log.text, logPath: log.path, status });
  }
  const elapsedMs = Math.round(performance.now() - begin);
  return { ...whatItSaid(said), notes: preparation.notes, elapsedMs };
}

function whatItSaid(log: string): Pick<ConversionResult, 'warnings' | 'virtio'> {
  const virtio = virtioInstalled(log);
  return { warnings: warningsOf(log), ...(virtio !== undefined && { virtio }) };
}

async function toolArguments(
  request: ConversionRequest,
  preparation: Preparation,
): Promise<string[]> {
  const { folder, vm, firmware, root, verbose, disks } = request;
  const paths = conversionPaths(folder);
  const overlays = journalDisks(folder, disks).map(({ overlay }) => overlay);
  await writeFile(paths.input, conversionInputXml({ vm, overlays, firmware }), { mode: 0o600 });
  return [
    ...(verbose === true ? ['-v', '-x'] : []),
    ...(await writeKeys(request)),
    ...preparation.args,
    // `ask` would wait for a person for ever.
    ...['--root', root ?? 'single'],
    ...['-i', 'libvirtxml', paths.input],
  ];
}

const tooSlow = ({ vm }: ConversionRequest, stage: string, limitMs: number) =>
  transient({
    code: 'conversion-too-slow',
    message: `converting ${vm} took longer than ${Math.round(limitMs / 60_000)} min; it was at "${stage}"`,
    remedy:
      'All of it was ended, and it is tried again from the copy. If it stays so, raise the limit or choose a faster conversion host.',
  });
