/** Numbers and words that a foreign server sent: bounded, and 0 or empty where they make no sense. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import { textOf } from '../../protocols/soap/index.ts';

const longestText = 1_024;

/** A count or a size that is not negative and below 2^53; 0 if it is anything else. */
export function countOf(text: string): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(number) ? number : 0;
}

export const countAt = (parent: XmlElement | undefined, ...path: string[]): number =>
  countOf(textOf(parent, ...path));

/** Text for people and keys: cut, without control characters. */
export const plainText = (text: string): string =>
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  text.replaceAll(/[\u0000-\u001F\u007F]/g, ' ').slice(0, longestText);

export const plainAt = (parent: XmlElement | undefined, ...path: string[]): string =>
  plainText(textOf(parent, ...path));

/** vSphere escapes what a path would take amiss in the names of objects. */
export const nameOf = (text: string): string =>
  plainText(text.replaceAll(/%2f/gi, '/').replaceAll(/%5c/gi, '\\').replaceAll(/%25/g, '%'));

export const isTrueAt = (parent: XmlElement | undefined, ...path: string[]): boolean =>
  textOf(parent, ...path) === 'true';
