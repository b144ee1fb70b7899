/** A lab whose first host is a conversion host, and imports started on it as a client does. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { WorkflowHandle } from '@temporalio/client';
import { parse, stringify } from 'yaml';
import { dataConverter } from '../../../client/payload-codec.ts';
import { loadConfig } from '../../../config/load.ts';
import { resolvePayloadKeys } from '../../../config/secrets.ts';
import { connectionSettings } from '../../../config/temporal-connection.ts';
import { importDefaults, isImportEnd } from '../../../domain/import.ts';
import type { ImportReport, ImportRequest } from '../../../domain/import.ts';
import {
  controlQueue,
  importId,
  labelsOfImport,
  queryNames,
  workflowTypes,
} from '../../../workflows/contract.ts';
import type { ImportVmInput } from '../../../workflows/contract.ts';
import { openStage, pauses } from '../stage.ts';
import type { Stage } from '../stage.ts';

const importMs = 240_000;

export interface ImportStage extends Stage {
  /** Where the conversion host `alpha` keeps what it copied. */
  cacheDir: string;
  start(request: ImportRequest, name?: string): Promise<WorkflowHandle>;
  /** Adds to section `host` of alpha's configuration and starts its worker anew. */
  configure(section: object): Promise<void>;
}

export async function openImportStage(
  options: Parameters<typeof openStage>[0] & { conversion?: object; providers: object },
): Promise<ImportStage> {
  const stage = await openStage(options);
  const cacheDir = join(stage.dir, 'cache');
  const closing = new AsyncDisposableStack();
  closing.defer(() => stage.close());
  try {
    const configure = async (section: object): Promise<void> => {
      const path = join(stage.dir, 'vmferry-alpha.yaml');
      const config = parse(await readFile(path, 'utf8')) as { host: object };
      await writeFile(path, stringify({ ...config, host: { ...config.host, ...section } }));
      const worker = stage.fleet.worker('alpha');
      await worker.stop();
      worker.start();
      await stage.fleet.workerReady(worker);
    };
    const conversion = { cacheDir, ...options.conversion };
    await configure({ providers: options.providers, conversion });
    const config = loadConfig({ path: stage.fleet.configPath });
    const { namespace } = config.temporal;
    const connection = await Connection.connect(await connectionSettings(config.temporal));
    closing.defer(() => connection.close());
    const keys = await resolvePayloadKeys(config.encryption);
    const client = new Client({ connection, namespace, dataConverter: dataConverter(keys) });
    return {
      ...stage,
      cacheDir,
      configure,
      start: async (request, name = request.vm) => {
        const input: ImportVmInput = {
          cluster: config.cluster,
          vm: { id: request.vm, name },
          request,
        };
        return client.workflow.start(workflowTypes.importVm, {
          workflowId: importId(config.cluster, request.provider, request.vm),
          taskQueue: controlQueue,
          args: [input],
          ...labelsOfImport(input),
        });
      },
      close: () => closing.disposeAsync(),
    };
  } catch (error) {
    await closing.disposeAsync();
    throw error;
  }
}

/** From alpha to beta, by emulation: no guest of a lab runs by KVM. */
export const labRequest = (
  asked: Pick<ImportRequest, 'provider' | 'vm'> & Partial<ImportRequest>,
): ImportRequest => ({
  ...importDefaults,
  ...{ conversionHost: 'alpha', to: 'beta', defaultNetwork: 'network:default' },
  storage: { pool: 'default', format: 'qcow2' },
  operator: 'test',
  convert: 'no',
  autoCommit: true,
  ...asked,
  shape: { domainType: 'qemu', cpus: 1, memoryBytes: 128 * 1024 ** 2, ...asked.shape },
});

const reportOf = (handle: WorkflowHandle): Promise<ImportReport> =>
  handle.query<ImportReport>(queryNames.report);

/** Asks an import until `done` says so; fails with the last report if it ends before. `heard` ends a pause between two questions. */
export async function untilImport(
  handle: WorkflowHandle,
  done: (report: ImportReport) => boolean | Promise<boolean>,
  {
    limitMs = importMs,
    everyMs = 100,
    heard,
  }: { limitMs?: number; everyMs?: number; heard?: Promise<unknown> } = {},
): Promise<ImportReport> {
  const deadline = performance.now() + limitMs;
  const pause = pauses(everyMs, heard);
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const report = await reportOf(handle);
      last = report;
      if (await done(report)) return report;
      // Nobody here tells it to go on.
      if (isImportEnd(report.phase) || report.phase === 'parked') break;
    } catch (error) {
      last = error;
    }
    await pause();
  }
  const shown = last instanceof Error ? String(last) : JSON.stringify(last, null, 1);
  throw new Error(`the import ended or its time was up; at last: ${shown}`);
}

/** Each look costs server and worker some 15 ms: the end itself is heard, and looks only tell that it will not come. */
export async function importEnded(
  handle: WorkflowHandle,
  limitMs = importMs,
): Promise<ImportReport> {
  const heard = handle.result().then(
    () => undefined,
    () => undefined,
  );
  return untilImport(handle, ({ phase }) => isImportEnd(phase), {
    ...{ limitMs, everyMs: 1_000, heard },
  });
}

/** SHA-256 of a raw file. */
export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** What a guest sees of an image of a host, as SHA-256; one that a guest has open had better stand still. */
export async function imageHash(stage: Stage, host: string, path: string): Promise<string> {
  const folder = join(stage.dir, 'out');
  await mkdir(folder, { recursive: true });
  const raw = join(folder, `${host}-${basename(path)}.raw`);
  await stage.lab
    .host(host)
    .exec(['qemu-img', 'convert', '-U', '-O', 'raw', path, raw], { timeoutMs: 120_000 });
  return hashOf(raw);
}

/** The same of a volume. */
export const volumeHash = async (stage: Stage, host: string, volume: string): Promise<string> =>
  imageHash(stage, host, await stage.virsh(host, 'vol-path', volume, 'default'));

/** Names below a folder; empty if it is not there. */
export const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
