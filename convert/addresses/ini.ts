/**
 * Files of sections and keys, as NetworkManager and systemd have them, changed line by line: every line that is not
 * meant stays as it is, comments and blank ones too.
 */
interface Place {
  /** Line after the header. */
  from: number;
  /** Line after the section's last. */
  to: number;
}

function sections(lines: readonly string[], name: string): Place[] {
  const headers = lines.flatMap((line, at) => (/^\s*\[/.test(line) ? [at] : []));
  return headers
    .filter((at) => lines[at]?.trim() === `[${name}]`)
    .map((at) => ({ from: at + 1, to: headers.find((next) => next > at) ?? lines.length }));
}

const keyAt = (line: string): string | undefined => /^\s*([A-Za-z0-9_.-]+)\s*=/.exec(line)?.[1];

/** All values of a key in all sections of that name, trimmed. */
export function valuesOf(text: string, section: string, key: string): string[] {
  const lines = text.split('\n');
  return sections(lines, section)
    .flatMap(({ from, to }) => lines.slice(from, to))
    .filter((line) => keyAt(line) === key)
    .map((line) => line.slice(line.indexOf('=') + 1).trim());
}

/** Without the key's lines in sections of that name. */
export function withoutKey(text: string, section: string, key: string): string {
  const lines = text.split('\n');
  const drop = new Set<number>();
  for (const { from, to } of sections(lines, section)) {
    for (let at = from; at < to; at += 1) if (keyAt(lines[at] ?? '') === key) drop.add(at);
  }
  return lines.filter((_, at) => !drop.has(at)).join('\n');
}

/** The key has this value, once, in the first section of that name, which is made at the end if there is none. */
export function withKey(
  text: string,
  section: string,
  entry: { key: string; value: string },
): string {
  const { key, value } = entry;
  const values = valuesOf(text, section, key);
  if (values.length === 1 && values[0] === value) return text;
  const line = `${key}=${value}`;
  const lines = withoutKey(text, section, key).split('\n');
  const [first] = sections(lines, section);
  if (first === undefined) {
    const before = lines.join('\n');
    const gap = before === '' || before.endsWith('\n') ? '' : '\n';
    return `${before}${gap}${before === '' ? '' : '\n'}[${section}]\n${line}\n`;
  }
  return lines.toSpliced(first.from, 0, line).join('\n');
}

/** With these lines at the beginning of the first section of that name, which is made at the end if there is none. */
export function withLines(text: string, section: string, added: readonly string[]): string {
  const lines = text.split('\n');
  const [first] = sections(lines, section);
  if (first !== undefined) return lines.toSpliced(first.from, 0, ...added).join('\n');
  const gap = text === '' || text.endsWith('\n') ? '' : '\n';
  return `${text}${gap}\n[${section}]\n${added.map((line) => `${line}\n`).join('')}`;
}

/** Without the sections of that name that `goes` says it of, by their text. */
export function withoutSections(
  text: string,
  name: string,
  goes: (section: string) => boolean,
): string {
  const lines = text.split('\n');
  const drop = new Set<number>();
  for (const { from, to } of sections(lines, name)) {
    if (!goes(lines.slice(from - 1, to).join('\n'))) continue;
    for (let at = from - 1; at < to; at += 1) drop.add(at);
  }
  return lines.filter((_, at) => !drop.has(at)).join('\n');
}
