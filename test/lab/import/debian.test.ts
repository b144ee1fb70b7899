/**
 * A real Debian in an OVA, converted by the real tools, started on its target: its static address answers. Its
 * rehearsal, and other kinds of it, only where they are asked for, VMFERRY_CONVERT=all.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { debianNetwork, debianPassphrase, ensureDebianGuest } from '../../../lab/guests/debian.ts';
import type { DebianKind } from '../../../lab/guests/debian.ts';
import type { ImportRequest } from '../../../domain/import.ts';
import { missingGuestTools } from './guest-tools.ts';
import { openGuestTerminal } from './guest-terminal.ts';
import { importEnded, labRequest, openImportStage, untilImport } from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';
import { MiB, putImageOnShelf } from './shelf.ts';

const limitMs = 25 * 60_000;
const bootMs = 10 * 60_000;
const isAll = process.env['VMFERRY_CONVERT'] === 'all';
const forUefi = ['mcopy', 'mkfs.vfat'];
const programs = [
  ...['mmdebstrap', 'sfdisk', 'partx', 'busybox'],
  ...(isAll ? [...forUefi, 'socat'] : []),
];

interface Row {
  kind: DebianKind;
  is: string;
  asked: Partial<ImportRequest>;
  defined?: string;
  /** Only where all are asked for. */
  rare?: true;
  /** That it answers on; its own static one if absent. */
  address?: string;
  rehearsal?: object;
}

/** As the OVA has them. */
const [nicKey, diskKey] = ['40', 'disk1'];
const ownAddress = debianNetwork.address.replaceAll('.', '\\.');
const rows: Row[] = [
  {
    ...{ kind: 'bios', is: isAll ? 'of BIOS, rehearsed until its agent answers' : 'of BIOS' },
    asked: isAll ? { rehearse: { check: { kind: 'agent' }, only: false } } : {},
    ...(isAll && { rehearsal: { outcome: 'proved', check: 'agent', emulated: true } }),
  },
  {
    ...{ kind: 'bios', is: 'that is given another address, on a volume of a given name' },
    asked: {
      shape: {
        addresses: [{ key: nicKey, addresses: ['198.51.100.77/24'] }],
        volumes: [{ key: diskKey, name: 'given-root' }],
      },
    },
    defined: '/given-root.qcow2',
    address: '198.51.100.77',
    rare: true,
  },
  {
    rare: true,
    ...{
      kind: 'uefi',
      is: 'of UEFI without a fallback boot path, rehearsed until its console tells its address',
    },
    asked: {
      rehearse: {
        check: { kind: 'console', pattern: `GUEST-ADDRESSES .*${ownAddress}` },
        only: false,
      },
    },
    defined: "type='pflash'",
    rehearsal: { outcome: 'proved', check: 'console', emulated: true },
  },
  {
    rare: true,
    ...{ kind: 'luks', is: 'with its root file system in a LUKS, unlocked by hand' },
    asked: { luksKeys: [{ device: '/dev/sda2', reference: 'system' }] },
  },
];

let dir: string;
let missing: string;
let stage: ImportStage;

beforeAll(async () => {
  missing = await missingGuestTools(programs);
  if (missing !== '') return;
  dir = await mkdtemp(join(tmpdir(), 'import-debian-'));
  const key = join(dir, 'system.key');
  await writeFile(key, debianPassphrase, { mode: 0o600 });
  stage = await openImportStage({
    name: 'import-debian',
    providers: { shelf: { kind: 'ova', folder: join(dir, 'ova') } },
    conversion: { secrets: { system: `file:${key}` } },
  });
}, 240_000);
afterAll(async () => {
  if (missing !== '') return;
  await stage.close();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

for (const row of rows) {
  const { kind, is, asked } = row;
  it.runIf(row.rare !== true || isAll)(
    `brings a real Debian ${is}, and its static address answers`,
    async ({ skip }) => {
      if (missing !== '') skip(missing);
      const guest = await ensureDebianGuest({ kind });
      const { sizeBytes } = guest;
      const firmware = kind === 'uefi' ? 'uefi' : 'bios';
      const machine = { name: kind, sizeBytes, firmware } as const;
      await putImageOnShelf(join(dir, 'ova'), machine, await readFile(guest.vmdk));
      onTestFailed(async () => console.error(await stage.logs()));

      const began = performance.now();
      const shape = { memoryBytes: 512 * MiB, ...asked.shape };
      const vm = { provider: 'shelf', vm: `${kind}.ova#${kind}` };
      const request = labRequest({ ...vm, convert: 'yes', autoStart: true, ...asked, shape });
      const handle = await stage.start(request, kind);
      const unlocked = kind === 'luks' ? unlock(handle, kind) : Promise.resolve();
      // Looked at behind the import's end, whose report says more if it failed.
      unlocked.catch(() => undefined);
      const report = await importEnded(handle, limitMs);
      const imported = performance.now();
      expect(report).toMatchObject({
        ...{ phase: 'committed', targetRunning: true },
        conversion: { virtio: true, already: false },
        ...(row.rehearsal && { rehearsal: row.rehearsal }),
      });
      await unlocked;
      await addressAnswers(kind, row);

      const seconds = (fromMs: number, toMs: number): string => ((toMs - fromMs) / 1000).toFixed(0);
      const converting = seconds(0, report.conversion?.elapsedMs ?? Number.NaN);
      const rehearsing = seconds(0, report.rehearsal?.elapsedMs ?? 0);
      const booting = seconds(imported, performance.now());
      const whole = seconds(began, imported);
      console.log(
        `${kind}: import ${whole} s, virt-v2v-in-place ${converting} s and rehearsal ${rehearsing} s of it; boot ${booting} s`,
      );
      await stage.virsh('beta', 'destroy', kind);
      await stage.virsh('beta', 'undefine', '--nvram', kind);
    },
    limitMs,
  );
}

/** As a person does: wrongly at first. It stays locked then, so that nothing but its passphrase opens it. */
async function unlock(handle: WorkflowHandle, name: string): Promise<void> {
  await untilImport(handle, (report) => report.targetRunning, { limitMs, everyMs: 500 });
  await using terminal = await openGuestTerminal(stage.lab.host('beta'), name);
  const prompt = /Please unlock disk system:/;
  await terminal.says(prompt, bootMs);
  terminal.type(debianPassphrase.toUpperCase());
  await terminal.says(/bad password or options/, bootMs);
  await terminal.says(prompt, bootMs);
  terminal.type(debianPassphrase);
  await terminal.says(/system: set up successfully/, bootMs);
}

/** From the other host, over the cable between them. */
async function addressAnswers(
  name: string,
  { defined = '', address = debianNetwork.address }: Pick<Row, 'defined' | 'address'>,
): Promise<void> {
  const alpha = stage.lab.host('alpha');
  const ping = async (): Promise<boolean> => {
    const command = ['busybox', 'ping', '-c', '1', '-W', '2', address];
    return !(await alpha.exec(command, { timeoutMs: 30_000, reject: false })).failed;
  };
  await expect.poll(ping, { timeout: bootMs, interval: 500 }).toBe(true);
  const neighbour = await alpha.exec(['ip', 'neigh', 'show', address], { timeoutMs: 10_000 });
  const mac = /lladdr (\S+)/.exec(neighbour.stdout)?.[1];
  expect(mac).toBeDefined();
  const xml = await stage.virsh('beta', 'dumpxml', name);
  expect(xml).toContain(`<mac address='${mac}'/>`);
  expect(xml).toContain(defined);
}
