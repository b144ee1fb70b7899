/**
 * Reading and writing of libvirt's XML as documents. XML comes from other hosts and is hostile input:
 * bounded in size and depth, without document types or entities of its own.
 */
import { DOMParser, XMLSerializer, onWarningStopParsing } from '@xmldom/xmldom';
import type { Document, Element } from '@xmldom/xmldom';

/** The largest document that is read, in bytes of UTF-8; libvirt's own definitions have a few KiB. */
const maxXmlBytes = 256 * 1024;
const maxDepth = 64;

/** The text is no XML document, or not one within the bounds; `message` says why. */
export class XmlError extends Error {
  override readonly name = 'XmlError';
}

export interface ParseXmlOptions {
  /** Name that the root element must have. */
  root: string;
  /** Bytes of UTF-8; `maxXmlBytes` if absent. */
  maxBytes?: number;
}

/** Parses a document; throws `XmlError` if it is malformed, too large or too deep, or has another root. */
export function parseXml(text: string, options: ParseXmlOptions): Document {
  const limit = options.maxBytes ?? maxXmlBytes;
  const size = Buffer.byteLength(text);
  if (size > limit) throw new XmlError(`it has ${size} bytes, more than the ${limit} allowed`);
  // Checked in the text, before the parser sees it: no entity is ever declared, let alone expanded.
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) throw new XmlError('it has a document type or entities');
  const document = parseText(text);
  const root = document.documentElement;
  if (root === null || root.nodeName !== options.root) {
    throw new XmlError(`its root element is not <${options.root}>`);
  }
  assertShallow(root);
  return document;
}

function parseText(text: string): Document {
  try {
    const parser = new DOMParser({ onError: onWarningStopParsing, normalizeLineEndings });
    return parser.parseFromString(text, 'text/xml');
  } catch (error) {
    throw new XmlError(`it is not well-formed: ${firstLine(error)}`, { cause: error });
  }
}

/** As XML 1.0 has it. The parser's own rule is that of XML 1.1, which takes U+0085 and U+2028 for line ends, too. */
const normalizeLineEndings = (text: string): string => text.replace(/\r\n?/g, '\n');

/** Text as it may stand in an element or in an attribute within single quotes. */
export const escapeXml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;');

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]?.slice(0, 200) ?? '';

/** The serializer and libvirt recurse into elements; a chain of thousands of them would end the stack. */
function assertShallow(root: Element): void {
  let level: Element[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth >= maxDepth) throw new XmlError(`its elements are nested deeper than ${maxDepth}`);
    level = level.flatMap((element) => childElements(element));
  }
}

/** Writes a document; throws `XmlError` if it holds characters that no XML document may hold. */
export function serializeXml(document: Document): string {
  // The parser turns every literal CR into LF: one that is left was written as `&#13;` and has to be again.
  const text = new XMLSerializer().serializeToString(document).replaceAll('\r', '&#13;');
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  if (/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/.test(text)) {
    throw new XmlError('it holds control characters');
  }
  return text;
}

/** Child elements without a namespace prefix's meaning: by local name, in order; all if no name is given. */
export function childElements(parent: Element, name?: string): Element[] {
  const found: Element[] = [];
  for (let node = parent.firstChild; node !== null; node = node.nextSibling) {
    if (node.nodeType !== node.ELEMENT_NODE) continue;
    const element = node as Element;
    if (name === undefined || element.nodeName === name) found.push(element);
  }
  return found;
}

/** Writes one element of a document that was parsed here. */
export const serializeElement = (element: Element): string =>
  new XMLSerializer().serializeToString(element);

/** The element at a path of names below `parent`, the first of each name; undefined if there is none. */
export function elementAt(parent: Element, ...path: string[]): Element | undefined {
  let at: Element | undefined = parent;
  for (const name of path) {
    at = at === undefined ? undefined : childElements(at, name)[0];
  }
  return at;
}

/** An attribute's value; empty if the element or the attribute is not there. */
export const attribute = (element: Element | undefined, name: string): string =>
  element?.getAttribute(name) ?? '';

/** Trimmed text of an element; empty if it is not there. */
export const textOf = (element: Element | undefined): string => (element?.textContent ?? '').trim();

/** Removes an element and the indentation before it, so that no empty line stays behind. */
export function removeElement(element: Element): void {
  const before = element.previousSibling;
  if (
    before !== null &&
    before.nodeType === before.TEXT_NODE &&
    /^\s*$/.test(before.nodeValue ?? '')
  ) {
    before.parentNode?.removeChild(before);
  }
  element.parentNode?.removeChild(element);
}

const unitBytes: Readonly<Record<string, number>> = {
  b: 1,
  byte: 1,
  bytes: 1,
  kb: 1000,
  k: 1024,
  kib: 1024,
  mb: 1000 ** 2,
  m: 1024 ** 2,
  mib: 1024 ** 2,
  gb: 1000 ** 3,
  g: 1024 ** 3,
  gib: 1024 ** 3,
  tb: 1000 ** 4,
  t: 1024 ** 4,
  tib: 1024 ** 4,
};

/**
 * A size such as `<memory unit='MiB'>512</memory>`, in bytes; throws `XmlError` if it is none.
 * Without a unit libvirt counts memory in KiB and volumes in bytes: the caller says which.
 */
export function sizeBytesOf(element: Element | undefined, defaultUnit: 'KiB' | 'bytes'): number {
  const text = textOf(element);
  const unit = attribute(element, 'unit') || defaultUnit;
  const factor = unitBytes[unit.toLowerCase()];
  const bytes = /^\d+$/.test(text) && factor !== undefined ? Number(text) * factor : Number.NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new XmlError(
      `<${element?.nodeName ?? 'size'}> holds no size: "${text.slice(0, 40)}" ${unit}`,
    );
  }
  return bytes;
}
