/** The manifest of an OVA (DSP0243, 6.2): the digest of every file, as its exporter wrote it. */
import { malformed, quoted } from './faults.ts';

/** What the exporter said of one file. */
export interface ManifestLine {
  name: string;
  /** As Node calls it. */
  algorithm: 'sha1' | 'sha256' | 'sha384' | 'sha512';
  /** Hexadecimal, lower case. */
  digest: string;
}

/** Bytes of a manifest that are read at most: 10,000 lines of long names. */
export const maxManifestBytes = 4 * 1024 * 1024;
const maxLines = 20_000;

const lengths: Readonly<Record<ManifestLine['algorithm'], number>> = {
  sha1: 40,
  sha256: 64,
  sha384: 96,
  sha512: 128,
};

/** Lines by name; `path` is for errors. Throws `ova-malformed`. */
export function parseManifest(text: string, path: string): Map<string, ManifestLine> {
  const lines = text.split(/\r\n|\r|\n/);
  if (lines.length > maxLines)
    throw malformed(path, `its manifest has more than ${maxLines} lines`);
  const found = new Map<string, ManifestLine>();
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const parsed = parseLine(line);
    if (parsed === undefined) {
      throw malformed(path, `line ${index + 1} of its manifest is not understood: ${quoted(line)}`);
    }
    const before = found.get(parsed.name);
    if (before !== undefined && before.digest !== parsed.digest) {
      throw malformed(path, `its manifest names ${quoted(parsed.name)} twice, differently`);
    }
    found.set(parsed.name, parsed);
  }
  return found;
}

/** `SHA256(disk 1.vmdk)= 0a1b...`, with or without spaces and a hyphen. */
function parseLine(line: string): ManifestLine | undefined {
  const [, kind = '', name = '', digest = ''] =
    /^\s*SHA-?(\d+)\s*\((.{1,1024})\)\s*=\s*([0-9a-f]{40,128})\s*$/i.exec(line) ?? [];
  const algorithm = (['sha1', 'sha256', 'sha384', 'sha512'] as const).find(
    (one) => one === `sha${kind}`,
  );
  if (algorithm === undefined || digest.length !== lengths[algorithm]) return undefined;
  return { name: name.replace(/^\.\//, ''), algorithm, digest: digest.toLowerCase() };
}
