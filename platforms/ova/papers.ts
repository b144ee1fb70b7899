/** The small files of an OVA: its OVF, its manifest and its certificate. */
import { readPart } from './bytes.ts';
import { checkDigest } from './digest.ts';
import { malformed } from './faults.ts';
import { maxManifestBytes, parseManifest } from './manifest.ts';
import type { ManifestLine } from './manifest.ts';
import { parseEnvelope } from './ovf-envelope.ts';
import type { OvfEnvelope } from './ovf-envelope.ts';
import { maxOvfBytes } from './ovf-xml.ts';
import type { OvaPackage } from './package.ts';

export interface Papers {
  envelope: OvfEnvelope;
  /** By the names of files; undefined if there is none. */
  manifest?: Map<string, ManifestLine>;
  /** The certificate's name; empty if there is none. */
  certificate: string;
}

/** The OVF is held against the manifest at once. Throws `ova-malformed`, `ova-corrupt`. */
export async function readPapers(ova: OvaPackage, signal?: AbortSignal): Promise<Papers> {
  const { path, ovfName } = ova;
  const manifestName = beside(ova, '.mf');
  const certificate = beside(ova, '.cert');
  const text =
    manifestName && (await small(ova, { name: manifestName, maxBytes: maxManifestBytes }, signal));
  const manifest = text === undefined ? undefined : parseManifest(text.toString('utf8'), path);
  const line = manifest?.get(ovfName);
  if (line !== undefined) {
    const region = await ova.find(ovfName);
    if (region !== undefined) await checkDigest(region, line, { path, ...(signal && { signal }) });
  }
  const ovf = await small(ova, { name: ovfName, maxBytes: maxOvfBytes }, signal);
  const envelope = parseEnvelope(ovf ?? Buffer.alloc(0), path);
  return { envelope, ...(manifest !== undefined && { manifest }), certificate: certificate ?? '' };
}

/** Under the OVF's name, or the only one of its kind. */
function beside({ ovfName, names }: OvaPackage, ending: string): string | undefined {
  const all = names.filter((name) => name.toLowerCase().endsWith(ending));
  const own = ovfName.replace(/\.ovf$/i, ending).toLowerCase();
  return all.find((name) => name.toLowerCase() === own) ?? (all.length === 1 ? all[0] : undefined);
}

async function small(
  ova: OvaPackage,
  { name, maxBytes }: { name: string; maxBytes: number },
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  const region = await ova.find(name);
  if (region === undefined) return undefined;
  if (region.sizeBytes > maxBytes) {
    throw malformed(ova.path, `its ${name} has ${region.sizeBytes} bytes, over ${maxBytes}`);
  }
  return readPart(region, { offset: 0, length: region.sizeBytes }, signal);
}
