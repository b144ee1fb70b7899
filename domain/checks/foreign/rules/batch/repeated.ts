import type { Finding } from '../../../rule.ts';
import type { BatchEntry } from '../../views.ts';

/** What more than one entry says of itself, each once, with the VMs that say it. Empty words do not count. */
export function repeated(
  entries: readonly BatchEntry[],
  wordsOf: (entry: BatchEntry) => readonly string[],
): { word: string; vms: string[] }[] {
  const said = new Map<string, string[]>();
  for (const entry of entries) {
    for (const word of new Set(wordsOf(entry))) {
      if (word !== '') said.set(word, [...(said.get(word) ?? []), entry.vm.name]);
    }
  }
  return [...said].flatMap(([word, vms]) => (vms.length > 1 ? [{ word, vms }] : []));
}

/** A finding for each of them. */
export const findings = <Code extends string>(
  code: Code,
  found: readonly { word: string; vms: string[] }[],
  messageOf: (word: string, vms: string) => string,
): Finding<Code>[] =>
  found.map(({ word, vms }) => ({ code, message: messageOf(word, vms.slice(0, 5).join(', ')) }));

/** The entries of each target, in the order of their first. */
export function onOneTarget(
  entries: readonly BatchEntry[],
): { target: string; here: BatchEntry[] }[] {
  const targets = new Set(entries.map(({ request }) => request.to));
  return [...targets].map((target) => ({
    target,
    here: entries.filter(({ request }) => request.to === target),
  }));
}
