import { randomUUID } from 'node:crypto';
import { access, mkdir } from 'node:fs/promises';
import { arch, availableParallelism, totalmem } from 'node:os';
import { detectTool } from '../../convert/tool.ts';
import type { ConversionTool } from '../../convert/tool.ts';
import { probeAcceleration } from '../../convert/acceleration.ts';
import type { Acceleration } from '../../convert/acceleration.ts';
import { VmFerryError } from '../../domain/errors.ts';
import type { ConversionHostFacts } from '../../domain/import.ts';
import { cacheUse } from './cache-room.ts';
import type { ImportParts } from './parts.ts';

/** libvirt's names of processors. */
const archNames: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };
/** Its own each time: what carries an ID is ended with whoever has it. */
const probeId = (): string => `probe-${randomUUID()}`;

/** What this conversion host has, and what is under way on it. */
export async function conversionFacts(
  parts: ImportParts,
  signal: AbortSignal,
): Promise<ConversionHostFacts> {
  const { host, providers, conversion } = parts;
  const { cacheDir, virtioWin, cacheSeconds } = conversion;
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const [{ cache, ...use }, tool, terms] = await Promise.all([
    cacheUse(parts),
    toolFacts(parts, signal),
    parts.terms.inForce(),
  ]);
  return {
    name: host.name,
    arch: archNames[arch()] ?? arch(),
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    cache,
    ...tool,
    virtioWin: virtioWin !== undefined && (await canRead(virtioWin)),
    kvm: await canRead('/dev/kvm'),
    providers: providers.lines(),
    ...terms,
    ...(cacheSeconds === undefined ? {} : { cacheSeconds }),
    ...use,
  };
}

async function toolFacts(
  { conversion: { program } }: ImportParts,
  signal: AbortSignal,
): Promise<Pick<ConversionHostFacts, 'toolVersion' | 'toolTrouble'>> {
  const named = program === undefined ? {} : { program };
  try {
    const tool = await detectTool({ id: probeId(), acceleration: 'tcg', ...named, signal });
    return { toolVersion: tool.version };
  } catch (error) {
    if (!(error instanceof VmFerryError)) throw error;
    return { toolTrouble: error.message };
  }
}

const canRead = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

let acceleration: Promise<Acceleration> | undefined;

/** Whether guests of this host can run by KVM: found out once a worker, by booting a kernel. */
export async function accelerationHere(): Promise<Acceleration> {
  acceleration ??= probeAcceleration({ id: probeId() });
  return acceleration.catch((error: unknown) => {
    acceleration = undefined;
    throw error;
  });
}

/** The tool as a conversion uses it. */
export async function conversionTool(
  { conversion: { program } }: Pick<ImportParts, 'conversion'>,
  id: string,
  signal: AbortSignal,
): Promise<ConversionTool> {
  const named = program === undefined ? {} : { program };
  return detectTool({ id, acceleration: await accelerationHere(), ...named, signal });
}
