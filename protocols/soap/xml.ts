/**
 * XML as SOAP needs it. Answers are hostile and can be large: they are read in one pass into a small tree, within bounds,
 * and of XML only what SOAP 1.1 allows (section 3: no document type, no processing instructions) without comments and
 * CDATA, which no server of ours writes. An inventory takes a tenth of the time and memory that a whole DOM would.
 * Requests are written by elements and never by pasted strings.
 */
import type { XmlElement } from './element.ts';
import { SoapError, SoapErrorKind } from './errors.ts';

interface OpenElement {
  /** As it is written, which its end has to repeat. */
  tag: string;
  name: string;
  type: string;
  attributes: Record<string, string> | undefined;
  children: XmlElement[];
  text: string;
  /** Prefixes that mean the namespace of `xsi:type` here. */
  prefixes: readonly string[];
}

const instanceNamespace = 'http://www.w3.org/2001/XMLSchema-instance';
const maxDepth = 64;
/** A page of an inventory has some 60,000. */
const maxElements = 1_000_000;
const mostAttributes = 32;

/** Parses an answer into its root; throws `SoapError` (malformed). Its size was kept to by who read it. */
export function parseXml(text: string): XmlElement {
  return new Parser(text).parse();
}

const malformed = (why: string): SoapError =>
  new SoapError(SoapErrorKind.malformed, `the answer is no XML that is read here: ${why}`);

class Parser {
  readonly #text: string;
  readonly #open: OpenElement[] = [];
  #at = 0;
  #count = 0;
  #root: XmlElement | undefined;
  // Sticky: each matches where the last one ended, or not at all, so that time grows with the length only.
  readonly #name = /([A-Za-z_][\w.-]*)(?::([A-Za-z_][\w.-]*))?/y;
  readonly #attribute =
    /\s+([A-Za-z_][\w.-]*)(?::([A-Za-z_][\w.-]*))?\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y;
  readonly #end = /\s*(\/?)>/y;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): XmlElement {
    this.#skipDeclaration();
    for (;;) {
      const next = this.#text.indexOf('<', this.#at);
      this.#takeText(this.#at, next === -1 ? this.#text.length : next);
      if (next === -1) break;
      this.#at = next + 1;
      if (this.#text[this.#at] === '/') this.#closeTag();
      else this.#openTag();
    }
    if (this.#open.length > 0 || this.#root === undefined) throw malformed('it ends too early');
    return this.#root;
  }

  #skipDeclaration(): void {
    if (this.#text.startsWith('\uFEFF')) this.#at = 1;
    if (!this.#text.startsWith('<?xml', this.#at)) return;
    const end = this.#text.indexOf('?>', this.#at);
    if (end === -1 || end > 200) throw malformed('its declaration does not end');
    this.#at = end + 2;
  }

  #takeText(from: number, to: number): void {
    if (from === to) return;
    const text = this.#text.slice(from, to);
    const current = this.#open.at(-1);
    if (current === undefined) {
      if (text.trim() !== '') throw malformed('there is text outside of its root');
    } else if (current.children.length === 0) {
      current.text = decoded(text);
    }
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match !== null) this.#at = pattern.lastIndex;
    return match;
  }

  #openTag(): void {
    const named = this.#match(this.#name);
    if (named === null) throw malformed('it has something that is no element');
    this.#count += 1;
    if (this.#count > maxElements) throw malformed(`it has more than ${maxElements} elements`);
    if (this.#open.length >= maxDepth)
      throw malformed(`its elements are nested deeper than ${maxDepth}`);
    if (this.#root !== undefined) throw malformed('it has more than one root');
    const parent = this.#open.at(-1);
    const element: OpenElement = {
      tag: named[0],
      name: named[2] ?? named[1] ?? '',
      type: '',
      attributes: undefined,
      children: [],
      text: '',
      prefixes: parent?.prefixes ?? [],
    };
    this.#takeAttributes(element);
    const end = this.#match(this.#end);
    if (end === null) throw malformed(`the tag of <${element.name.slice(0, 40)}> does not end`);
    if (parent !== undefined) parent.text = '';
    if (end[1] === '/') this.#finish(element);
    else this.#open.push(element);
  }

  #takeAttributes(element: OpenElement): void {
    const types = new Map<string, string>();
    let count = 0;
    for (
      let found = this.#match(this.#attribute);
      found !== null;
      found = this.#match(this.#attribute)
    ) {
      count += 1;
      if (count > mostAttributes) throw malformed(`it has more than ${mostAttributes} attributes`);
      const [, first = '', second, double, single] = found;
      const value = decoded(double ?? single ?? '');
      if (second === undefined) {
        if (first === 'xmlns') continue;
        element.attributes ??= Object.create(null) as Record<string, string>;
        element.attributes[first] = value;
      } else if (first === 'xmlns') {
        const others = element.prefixes.filter((prefix) => prefix !== second);
        element.prefixes = value === instanceNamespace ? [...others, second] : others;
      } else if (second === 'type') {
        types.set(first, value);
      }
    }
    // The prefix may be declared after its use.
    for (const [prefix, type] of types) {
      if (element.prefixes.includes(prefix)) element.type = type.slice(type.indexOf(':') + 1);
    }
  }

  #closeTag(): void {
    this.#at += 1;
    const named = this.#match(this.#name);
    const element = this.#open.pop();
    if (named === null || element?.tag !== named[0] || this.#match(this.#end)?.[1] !== '') {
      throw malformed('an element ends where another one began');
    }
    this.#finish(element);
  }

  #finish({ name, type, attributes, children, text }: OpenElement): void {
    const element: XmlElement = { name, type, attributes, children, text };
    const parent = this.#open.at(-1);
    if (parent === undefined) this.#root = element;
    else parent.children.push(element);
  }
}

const known: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  amp: '&',
  quot: '"',
  apos: "'",
};

function decoded(text: string): string {
  const plain = text.includes('\r') ? text.replaceAll(/\r\n?/g, '\n') : text;
  if (!plain.includes('&')) return plain;
  return plain.replaceAll(
    /&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9A-Fa-f]{1,6}));|&/g,
    (_, name?: string, decimal?: string, hex?: string) => {
      if (name !== undefined) return known[name] ?? '';
      return characterOf(decimal === undefined ? parseInt(hex ?? '', 16) : Number(decimal));
    },
  );
}

function characterOf(code: number): string {
  const isCharacter =
    code === 9 ||
    code === 10 ||
    code === 13 ||
    (code >= 0x20 && code <= 0x10_ffff && code >> 11 !== 0x1b);
  if (!isCharacter) throw malformed('it has an entity that is not known');
  return String.fromCodePoint(code);
}

/** Child elements by local name, in order; all if no name is given. */
export function childrenOf(parent: XmlElement | undefined, name?: string): readonly XmlElement[] {
  if (parent === undefined) return [];
  return name === undefined
    ? parent.children
    : parent.children.filter((child) => child.name === name);
}

/** The element at a path of local names, the first of each; undefined if there is none. */
export function childOf(parent: XmlElement | undefined, ...path: string[]): XmlElement | undefined {
  let at = parent;
  for (const name of path) at = at?.children.find((child) => child.name === name);
  return at;
}

/** Text of the element at a path, trimmed; empty if there is none. */
export const textOf = (parent: XmlElement | undefined, ...path: string[]): string =>
  (childOf(parent, ...path)?.text ?? '').trim();

/** `xsi:type` without its prefix, whatever prefix the server has for either; empty if there is none. */
export const typeOf = (element: XmlElement | undefined): string => element?.type ?? '';

/** An attribute without a namespace. */
export const attributeOf = (element: XmlElement | undefined, name: string): string =>
  element?.attributes?.[name] ?? '';

/** A piece of a request. */
export interface XmlNode {
  name: string;
  attributes?: Record<string, string>;
  content: string | readonly XmlNode[];
}

/** Throws `SoapError` (invalid) if it holds characters that no XML document may hold. */
export function writeXml({ name, attributes = {}, content }: XmlNode): string {
  const head = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`);
  const inner = typeof content === 'string' ? escaped(content) : content.map(writeXml).join('');
  return `<${name}${head.join('')}>${inner}</${name}>`;
}

function escaped(text: string): string {
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  if (/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/.test(text)) {
    throw new SoapError(SoapErrorKind.invalid, 'the request would hold control characters');
  }
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\r', '&#13;');
}
