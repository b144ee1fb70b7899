/** Managed objects of vSphere by reference, and pieces of requests. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import { attributeOf, textOf } from '../../protocols/soap/index.ts';
import type { XmlNode } from '../../protocols/soap/index.ts';
import { childOf } from '../../protocols/soap/index.ts';

/** `{ type: 'VirtualMachine', id: 'vm-42' }`. */
export interface ManagedRef {
  type: string;
  id: string;
}

const longestId = 256;

export const reference = (name: string, { type, id }: ManagedRef): XmlNode => ({
  name,
  attributes: { type },
  content: id,
});

export const value = (name: string, content: string | number | boolean): XmlNode => ({
  name,
  content: String(content),
});

/** An object; `type` is its xsi:type, for where the schema takes several. */
export const object = (name: string, content: readonly XmlNode[], type?: string): XmlNode => ({
  name,
  ...(type === undefined ? {} : { attributes: { 'xsi:type': type } }),
  content,
});

/** The reference that an element holds; undefined if it holds none that could be sent again. */
export function referenceIn(element: XmlElement | undefined): ManagedRef | undefined {
  const type = attributeOf(element, 'type');
  const id = textOf(element);
  if (!/^\w{1,64}$/.test(type) || id === '' || id.length > longestId) return undefined;
  return { type, id };
}

/** The reference at a path below `parent`. */
export const referenceAt = (
  parent: XmlElement | undefined,
  ...path: string[]
): ManagedRef | undefined => referenceIn(childOf(parent, ...path));
