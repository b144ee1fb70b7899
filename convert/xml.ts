/** XML that is made here: as a document, so that no value can become an element. */
import { DOMImplementation, XMLSerializer } from '@xmldom/xmldom';
import type { Document, Element } from '@xmldom/xmldom';
import { permanent } from '../domain/errors.ts';

export type Attributes = Readonly<Record<string, string | number | undefined>>;
export type Child = Node | string | undefined;

/** An element to be; attributes and children that are undefined are left out. */
export interface Node {
  name: string;
  attributes: Attributes;
  children: readonly Child[];
}

/** Names are written in the code; values may come from anywhere. */
export const node = (
  name: string,
  attributes: Attributes = {},
  children: readonly Child[] = [],
): Node => ({ name, attributes, children });

/** The document as text. Throws `xml-value-invalid` if a value holds what no XML document may hold. */
export function writeXml(root: Node): string {
  const document = new DOMImplementation().createDocument(null, root.name);
  if (document.documentElement !== null) fill(document, document.documentElement, root, 0);
  // A reader would take a literal CR for a line's end.
  const text = new XMLSerializer().serializeToString(document).replaceAll('\r', '&#13;');
  return `${text}\n`;
}

function fill(document: Document, element: Element, { attributes, children }: Node, depth: number) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, checked(String(value)));
  }
  const present = children.filter((child) => child !== undefined);
  for (const child of present) {
    if (typeof child === 'string') {
      element.appendChild(document.createTextNode(checked(child)));
      continue;
    }
    indent(document, element, depth + 1);
    const below = document.createElement(child.name);
    element.appendChild(below);
    fill(document, below, child, depth + 1);
  }
  if (present.some((child) => typeof child !== 'string')) indent(document, element, depth);
}

const indent = (document: Document, element: Element, depth: number) =>
  element.appendChild(document.createTextNode(`\n${'  '.repeat(depth)}`));

function checked(value: string): string {
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  if (!/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/.test(value) && value.isWellFormed()) {
    return value;
  }
  throw permanent({
    code: 'xml-value-invalid',
    message: `${JSON.stringify(value.slice(0, 200))} holds characters that no definition may hold`,
    remedy: 'Give the VM or its parts other names in the plan.',
  });
}
