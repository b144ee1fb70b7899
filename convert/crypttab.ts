/**
 * Which entries of a guest's /etc/crypttab its initramfs has to open. Debian's tool takes those whose names are open while
 * it runs; in a conversion a LUKS is open as `luks-<its UUID>`, and the initramfs would get none: the guest would wait
 * for its root file system in vain. The option `initramfs` names the entry whatever is open (crypttab(5), Debian's).
 */

export interface CrypttabPlan {
  content: string;
  /** Names of the entries that open them. */
  opened: string[];
  /** UUIDs that no entry names. */
  unknown: string[];
}

const diskName = /^\/dev\/(?:sd|hd|vd|xvd)[a-z]+\d*$/;

/** Marks the entries of LUKS devices with these UUIDs. */
export function crypttabPlan(text: string, uuids: readonly string[]): CrypttabPlan {
  const lines = text.split('\n');
  const entries = lines.flatMap((line, at) => entryOf(line, at));
  const opened: string[] = [];
  const unknown: string[] = [];
  for (const uuid of uuids) {
    const named = entries.find(({ source }) => source.toLowerCase().endsWith(uuid.toLowerCase()));
    // The only one opens the only one, whatever it calls it.
    const entry = named ?? (entries.length === 1 && uuids.length === 1 ? entries[0] : undefined);
    if (entry === undefined) {
      unknown.push(uuid);
      continue;
    }
    opened.push(entry.name);
    lines[entry.at] = marked(entry, uuid);
  }
  return { content: lines.join('\n'), opened, unknown };
}

interface Entry {
  at: number;
  line: string;
  name: string;
  source: string;
  key: string;
  options: string[];
}

function entryOf(line: string, at: number): Entry[] {
  const [name = '', source, key = 'none', options = 'luks'] = line.trim().split(/\s+/);
  if (name.startsWith('#') || source === undefined) return [];
  return [{ at, line, name, source, key, options: options.split(',') }];
}

function marked({ line, name, source, key, options }: Entry, uuid: string): string {
  if (options.includes('initramfs') && !diskName.test(source)) return line;
  // On other hardware a disk has another name.
  const device = diskName.test(source) ? `UUID=${uuid}` : source;
  const all = [...options.filter((option) => option !== 'initramfs'), 'initramfs'];
  return [name, device, key, all.join(',')].join(' ');
}
