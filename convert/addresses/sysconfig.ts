/** Files of shell assignments, as /etc/sysconfig has them, changed line by line. */

const assigned = (line: string): { key: string; value: string } | undefined => {
  const found = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line);
  return found === null ? undefined : { key: found[1] ?? '', value: unquoted(found[2] ?? '') };
};

const unquoted = (value: string): string => value.trim().replace(/^(["'])(.*)\1$/, '$2');

/** The last assignment counts, as in a shell; undefined if there is none. */
export const valueIn = (text: string, key: string): string | undefined =>
  text
    .split('\n')
    .map(assigned)
    .findLast((entry) => entry?.key === key)?.value;

/** Of all keys of that kind. */
export const valuesLike = (text: string, kind: RegExp): string[] =>
  text
    .split('\n')
    .map(assigned)
    .flatMap((entry) => (entry !== undefined && kind.test(entry.key) ? [entry.value] : []));

/** With the value assigned once, where it stood first or at the end. Values must need no quotes. */
export function withValue(text: string, key: string, value: string): string {
  if (valueIn(text, key)?.toLowerCase() === value.toLowerCase()) return text;
  const lines = text.split('\n');
  const at = lines.findIndex((line) => assigned(line)?.key === key);
  const line = `${key}=${value}`;
  if (at === -1) return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`;
  return lines
    .flatMap((old, index) => {
      if (index === at) return [line];
      return assigned(old)?.key === key ? [] : [old];
    })
    .join('\n');
}

/** Without the assignments of keys of that kind. */
export const withoutLike = (text: string, kind: RegExp): string =>
  text
    .split('\n')
    .filter((line) => !kind.test(assigned(line)?.key ?? ''))
    .join('\n');
