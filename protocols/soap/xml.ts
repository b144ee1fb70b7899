/** XML as SOAP needs it: hostile answers read within bounds, requests written by elements and never by pasted strings. */
import { DOMParser, onWarningStopParsing } from '@xmldom/xmldom';
import type { Element } from '@xmldom/xmldom';
import { SoapError, SoapErrorKind } from './errors.ts';

const maxDepth = 64;

/** Parses an answer; throws `SoapError` (malformed). `maxBytes` was kept to by who read it. */
export function parseXml(text: string): Element {
  // In the text, before the parser sees it: no entity is ever declared, let alone expanded. Nor does any server of ours
  // write comments or CDATA, in which tags would not count.
  if (text.includes('<!')) throw malformed('it has a document type, a comment or CDATA');
  if (text.includes('<?', 1)) throw malformed('it has processing instructions');
  assertShallow(text);
  let root: Element | null;
  try {
    const parser = new DOMParser({ onError: onWarningStopParsing });
    root = parser.parseFromString(text, 'text/xml').documentElement;
  } catch (cause) {
    const words = cause instanceof Error ? (cause.message.split('\n', 1)[0] ?? '') : '';
    throw malformed(`it is not well-formed: ${words.slice(0, 200)}`, cause);
  }
  if (root === null) throw malformed('it is empty');
  return root;
}

const malformed = (why: string, cause?: unknown): SoapError =>
  new SoapError(SoapErrorKind.malformed, `the answer is no XML that is read here: ${why}`, {
    cause,
  });

/** In the text, too: the parser and whoever walks its tree recurse. Time grows with the length, not with its square. */
function assertShallow(text: string): void {
  let depth = 0;
  for (const { 0: tag } of text.matchAll(/<[^<>]*>/g)) {
    if (tag.startsWith('</')) depth -= 1;
    else if (!tag.startsWith('<?') && !tag.endsWith('/>')) depth += 1;
    if (depth > maxDepth) throw malformed(`its elements are nested deeper than ${maxDepth}`);
  }
}

/** Child elements by local name, in order; all if no name is given. */
export function childrenOf(parent: Element | undefined, name?: string): Element[] {
  const found: Element[] = [];
  for (let node = parent?.firstChild ?? null; node !== null; node = node.nextSibling) {
    if (node.nodeType !== node.ELEMENT_NODE) continue;
    const element = node as Element;
    if (name === undefined || element.localName === name) found.push(element);
  }
  return found;
}

/** The element at a path of local names, the first of each; undefined if there is none. */
export function childOf(parent: Element | undefined, ...path: string[]): Element | undefined {
  let at = parent;
  for (const name of path) at = childrenOf(at, name)[0];
  return at;
}

/** Text of the element at a path; empty if there is none. */
export const textOf = (parent: Element | undefined, ...path: string[]): string =>
  (childOf(parent, ...path)?.textContent ?? '').trim();

const instanceNamespace = 'http://www.w3.org/2001/XMLSchema-instance';

/** `xsi:type` without its prefix, whatever prefix the server has for either; empty if there is none. */
export function typeOf(element: Element | undefined): string {
  const type = element?.getAttributeNS(instanceNamespace, 'type') ?? '';
  return type.slice(type.indexOf(':') + 1);
}

/** An attribute without a namespace. */
export const attributeOf = (element: Element | undefined, name: string): string =>
  element?.getAttribute(name) ?? '';

/** A piece of a request. */
export interface XmlNode {
  name: string;
  attributes?: Record<string, string>;
  content: string | readonly XmlNode[];
}

const escapeXml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\r', '&#13;');

/** Throws `SoapError` (invalid) if it holds characters that no XML document may hold. */
export function writeXml({ name, attributes = {}, content }: XmlNode): string {
  const head = Object.entries(attributes).map(([key, value]) => ` ${key}="${textFor(value)}"`);
  const inner = typeof content === 'string' ? textFor(content) : content.map(writeXml).join('');
  return `<${name}${head.join('')}>${inner}</${name}>`;
}

function textFor(text: string): string {
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  if (/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/.test(text)) {
    throw new SoapError(SoapErrorKind.invalid, 'the request would hold control characters');
  }
  return escapeXml(text);
}
