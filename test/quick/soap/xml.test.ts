/** What the parser of answers reads, what it refuses, and that it agrees with a whole one where both read. */
import { DOMParser } from '@xmldom/xmldom';
import type { Element } from '@xmldom/xmldom';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { XmlElement } from '../../../protocols/soap/index.ts';
import { attributeOf, childOf, childrenOf, textOf, typeOf } from '../../../protocols/soap/index.ts';
import { parseXml, writeXml } from '../../../protocols/soap/xml.ts';
import type { XmlNode } from '../../../protocols/soap/xml.ts';

const xsi = 'http://www.w3.org/2001/XMLSchema-instance';

describe('an answer', () => {
  it('is read by local names, with xsi:type told from type whatever the prefix is', () => {
    const root = parseXml(
      `<?xml version="1.0"?>\n<s:Envelope xmlns:s="urn:s" xmlns:odd="${xsi}"><s:Body>` +
        `<obj type="VirtualMachine" odd:type="vim25:ManagedObjectReference">vm-42</obj>` +
        `<obj type='Folder' other:type="x" xmlns:other="urn:other"/></s:Body></s:Envelope>`,
    );
    const [first, second] = childrenOf(childOf(root, 'Body'), 'obj');
    expect([typeOf(first), attributeOf(first, 'type'), textOf(first)]).toEqual([
      'ManagedObjectReference',
      'VirtualMachine',
      'vm-42',
    ]);
    expect([typeOf(second), attributeOf(second, 'type'), textOf(second)]).toEqual([
      '',
      'Folder',
      '',
    ]);
  });

  it('may declare the prefix of xsi:type at the element itself, and give it another meaning below', () => {
    const root = parseXml(
      `<a p:type="A" xmlns:p="${xsi}"><b xmlns:p="urn:x" p:type="B"/><c p:type="C"/></a>`,
    );
    expect([typeOf(root), ...root.children.map(typeOf)]).toEqual(['A', '', 'C']);
  });

  it('has its entities resolved, and nothing else that looks like one', () => {
    expect(textOf(parseXml('<a>&lt;&amp;&#65;&#x1F600;&quot;&apos;&gt;</a>'))).toBe(
      `<&A\u{1F600}"'>`,
    );
    for (const entity of ['&nbsp;', '&', '&#0;', '&#xD800;', '&#x110000;', '&lol;']) {
      expect(() => parseXml(`<a>${entity}</a>`), entity).toThrow(/not known/);
    }
  });

  it.each([
    ['a document type', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
    ['a comment', '<a><!-- b --></a>'],
    ['CDATA', '<a><![CDATA[</a>]]></a>'],
    ['an instruction', '<a><?b c?></a>'],
    ['two roots', '<a/><a/>'],
    ['text outside of its root', '<a/>b'],
    ['crossed elements', '<a><b></a></b>'],
    ['an end too many', '<a></a></a>'],
    ['an end too few', '<a><b></b>'],
    ['nothing', ''],
    ['an attribute without quotes', '<a b=c/>'],
    ['an attribute that holds a tag', '<a b="<c/>"/>'],
    ['a tag that does not end', '<a '],
    ['too many attributes', `<a ${Array.from({ length: 40 }, (_, n) => `b${n}="c"`).join(' ')}/>`],
    ['elements too deep', '<a>'.repeat(100) + '</a>'.repeat(100)],
    ['elements too many', `<a>${'<b/>'.repeat(1_000_001)}</a>`],
  ])('with %s is refused', (_, text) => {
    expect(() => parseXml(text)).toThrow(expect.objectContaining({ kind: 'malformed' }) as Error);
  });

  it('that is hostile costs no more than its length', () => {
    const long = 2_000_000;
    const start = process.cpuUsage();
    for (const text of [
      '<a'.repeat(long),
      '<a b="'.repeat(long),
      `<a>${'&'.repeat(long)}`,
      '<a'.padEnd(long),
    ]) {
      expect(() => parseXml(text)).toThrow();
    }
    // Of the processor, not of the clock: the machine may be busy with other things.
    expect(process.cpuUsage(start).user / 1_000).toBeLessThan(5_000);
  });

  it('says the same as a whole parser does', () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,5}$/);
    const text = fc
      .string({ unit: 'grapheme' })
      .filter((some) => !/[\p{Cc}\uFFFE\uFFFF]/u.test(some));
    const { node } = fc.letrec<{ node: XmlNode }>((tie) => ({
      node: fc.record({
        name,
        attributes: fc.dictionary(
          name.filter((some) => some !== 'xmlns'),
          text,
          { maxKeys: 3 },
        ),
        content: fc.oneof(
          { depthSize: 'small' },
          text,
          fc.array(tie('node'), { minLength: 1, maxLength: 3 }),
        ),
      }),
    }));
    fc.assert(
      fc.property(node, (wanted) => {
        const written = writeXml(wanted);
        const other = new DOMParser({ normalizeLineEndings: (some) => some }).parseFromString(
          written,
          'text/xml',
        ).documentElement!;
        expect(shapeOf(parseXml(written))).toEqual(shapeOfOther(other));
      }),
      { numRuns: 200 },
    );
  });
});

interface Shape {
  name: string;
  attributes: Record<string, string>;
  content: string | Shape[];
}

const shapeOf = ({ name, attributes, children, text }: XmlElement): Shape => ({
  name,
  attributes: { ...attributes },
  content: children.length > 0 ? children.map(shapeOf) : text,
});

function shapeOfOther(element: Element): Shape {
  const children = [...element.childNodes].filter((node) => node.nodeType === 1) as Element[];
  return {
    name: element.localName!,
    attributes: Object.fromEntries([...element.attributes].map(({ name, value }) => [name, value])),
    content: children.length > 0 ? children.map(shapeOfOther) : (element.textContent ?? ''),
  };
}

describe('a request', () => {
  it('escapes whatever it is given', () => {
    const content = `</a><b>&"'\r\n`;
    expect(textOf(parseXml(writeXml({ name: 'a', content: [{ name: 'c', content }] })), 'c')).toBe(
      content.trim(),
    );
    expect(writeXml({ name: 'a', attributes: { b: '"><c/>' }, content: '' })).toBe(
      '<a b="&quot;&gt;&lt;c/&gt;"></a>',
    );
  });

  it('is refused with characters that no document may hold', () => {
    expect(() => writeXml({ name: 'a', content: 'b\u0000' })).toThrow(/control characters/);
  });
});
