/**
 * The XML of an OVF (DSP0243), read by namespaces, not by prefixes. oVirt leaves its elements without a namespace and
 * names sections by `xsi:type`; both count. Who wrote it is not trusted: bounded, without document types or entities.
 */
import { DOMParser, onWarningStopParsing } from '@xmldom/xmldom';
import type { Element } from '@xmldom/xmldom';
import { malformed, quoted } from './faults.ts';

/** Bytes of an OVF that are read at most; licence texts make some of them large. */
export const maxOvfBytes = 2 * 1024 * 1024;
const maxTags = 100_000;
const maxDepth = 64;
/** What an attribute or a short element may hold: a name, not a licence. */
const maxTextLength = 4096;

const xsi = 'http://www.w3.org/2001/XMLSchema-instance';
const ovfSpaces =
  /^http:\/\/(?:schemas\.dmtf\.org\/ovf\/envelope\/[12]|www\.vmware\.com\/schema\/ovf\/1\/envelope)\/?$/;
const cimSpaces = /^http:\/\/schemas\.dmtf\.org\/wbem\/wscim\/1\/cim-schema\/2\/CIM_/;
const vmwareSpace = /^http:\/\/www\.vmware\.com\/schema\/ovf\/?$/;
const virtualBoxSpace = /^http:\/\/www\.virtualbox\.org\/(?:ovf\/machine|schemas?)\/?$/;

/** The dialects whose elements are read. */
export type Dialect = 'ovf' | 'cim' | 'vmware' | 'virtualbox';

const spaces: Readonly<Record<Dialect, RegExp>> = {
  ovf: ovfSpaces,
  cim: cimSpaces,
  vmware: vmwareSpace,
  virtualbox: virtualBoxSpace,
};

/** Parses the text to its `<Envelope>`. `path` is for errors. Throws `ova-malformed`. */
export function parseOvfXml(bytes: Uint8Array, path: string): Element {
  const text = decode(bytes, path);
  // Looked for in the text, before the parser sees it: no entity is ever declared, let alone expanded.
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) {
    throw malformed(path, 'its OVF has a document type or entities');
  }
  let tags = 0;
  for (let at = text.indexOf('<'); at !== -1; at = text.indexOf('<', at + 1)) tags += 1;
  if (tags > maxTags) throw malformed(path, `its OVF has ${tags} tags`);
  const root = parse(text, path).documentElement;
  if (root?.localName !== 'Envelope' || !isIn(root, 'ovf')) {
    throw malformed(path, 'its OVF has no <Envelope> as its root');
  }
  let level = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth >= maxDepth) throw malformed(path, `its OVF is nested deeper than ${maxDepth}`);
    level = level.flatMap(elementsIn);
  }
  return root;
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw malformed(path, 'its OVF is no UTF-8 text');
  }
}

function parse(text: string, path: string) {
  try {
    return new DOMParser({ onError: onWarningStopParsing }).parseFromString(text, 'text/xml');
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : '';
    throw malformed(path, `its OVF is not well-formed: ${quoted(why)}`);
  }
}

function elementsIn(parent: Element): Element[] {
  const found: Element[] = [];
  for (let node = parent.firstChild; node !== null; node = node.nextSibling) {
    if (node.nodeType === node.ELEMENT_NODE) found.push(node as Element);
  }
  return found;
}

/** Without a namespace it is oVirt's, which means OVF's. */
const isIn = (element: Element, dialect: Dialect): boolean => {
  const space = element.namespaceURI ?? '';
  return space === '' ? dialect === 'ovf' : spaces[dialect].test(space);
};

/** Children of a name, in order. */
export const children = (parent: Element, name: string, dialect: Dialect = 'ovf'): Element[] =>
  elementsIn(parent).filter((one) => one.localName === name && isIn(one, dialect));

/** Children of any dialect but unknown ones, whatever their name. */
export const ovfChildren = (parent: Element): Element[] =>
  elementsIn(parent).filter((one) => isIn(one, 'ovf'));

/** The first child of a name. */
export const child = (
  parent: Element | undefined,
  name: string,
  dialect: Dialect = 'ovf',
): Element | undefined => (parent === undefined ? undefined : children(parent, name, dialect)[0]);

/** The type that an element of oVirt's carries in place of a name: `VirtualSystem` of `ovf:VirtualSystem_Type`. */
const typeOf = (element: Element): string =>
  (element.getAttributeNS(xsi, 'type') ?? '').replace(/^.*:/, '').replace(/_Type$/, '');

/** Sections and contents by what they are, however the dialect writes it. */
export const parts = (parent: Element, kind: string): Element[] =>
  ovfChildren(parent).filter(
    (one) =>
      one.localName === kind ||
      ((one.localName === 'Section' || one.localName === 'Content') && typeOf(one) === kind),
  );

const trimmed = (text: string | null | undefined): string =>
  (text ?? '').trim().slice(0, maxTextLength);

/** Trimmed text of an element; empty if there is none. */
export const textOf = (element: Element | undefined): string => trimmed(element?.textContent);

/** Text of the first child of a name; empty if there is none. */
export const childText = (parent: Element | undefined, name: string, dialect: Dialect): string =>
  textOf(child(parent, name, dialect));

/** An attribute of OVF's, with its prefix or without; empty if there is none. */
export function attribute(
  element: Element | undefined,
  name: string,
  dialect: Dialect = 'ovf',
): string {
  if (element === undefined) return '';
  for (const one of element.attributes) {
    const space = one.namespaceURI ?? '';
    if (one.localName === name && (space === '' || spaces[dialect].test(space))) {
      return trimmed(one.value);
    }
  }
  return '';
}
