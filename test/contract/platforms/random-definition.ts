/**
 * Random definitions as texts, full of what vmferry does not know, and what a mending should make of them: written
 * down beside them and not computed, so that no parser judges its own work.
 */
import fc from 'fast-check';

/** A definition, the place that its disk `vda` goes to, and the definition as it should be then. */
export interface Mending {
  before: string;
  place: {
    kind: 'file' | 'block' | 'network';
    path: string;
    format: 'raw' | 'qcow2';
    keepBacking?: true;
    network?: { protocol: 'rbd'; name: string; hosts: { name: string; port: number }[] };
  };
  after: string;
}

/** The note that the mending writes. */
export const note = { owner: 'beta', epoch: 7, move: 'migrate/lab/x' };
const noteXml =
  `<vmferry:vm xmlns:vmferry="urn:vmferry:domain:1"><vmferry:owner>beta</vmferry:owner>` +
  `<vmferry:epoch>7</vmferry:epoch><vmferry:move>migrate/lab/x</vmferry:move></vmferry:vm>`;

const textPart = fc.constantFrom(
  ...['a', 'é', '名', ' ', '\n', '\r\n', '\t', '\u00A0', '&amp;', '&lt;', '&gt;', '>', '"', "'"],
  ...[
    '&#10;',
    '&#13;',
    '&#9;',
    '&#32;',
    '&#x1F5C4;',
    '🗄',
    ']]',
    '&quot;',
    '&apos;',
    '-',
    '\u0085',
    '\u2028',
    '\u2029',
  ],
);
const text = fc
  .array(textPart, { maxLength: 6 })
  // What comes next may begin with `>`.
  .map((parts) => parts.join('').replaceAll(']]>', ']]&gt;').replace(/\]$/, '] '));
const value = fc.array(textPart, { maxLength: 5 }).map((parts) => parts.join(''));
const quoted = fc
  .tuple(value, fc.boolean())
  .map(([inner, isSingle]) =>
    isSingle ? `'${inner.replaceAll("'", '&#39;')}'` : `"${inner.replaceAll('"', '&#34;')}"`,
  );
const space = fc.constantFrom(' ', '\n', '  \t', '\r\n ');
const comment = fc
  .constantFrom('', ' why ', '- x', '<disk>', '&amp;', '🗄\n')
  .map((inner) => `<!--${inner}-->`);
const instruction = fc.constantFrom('<?keep me="1"?>', '<?php ?>', '<?x <a> & b?>');
const section = fc
  .constantFrom('', '<&>', ']]', ' x\n', '\'"', '🗄')
  .map((inner) => `<![CDATA[${inner}]]>`);

const names = ['one', 'two-2', 'três', '名', '_x', 'a.b'] as const;
const prefixes = ['', 'p:', 'qemu:', 'late:'] as const;
const declarations: Readonly<Record<string, string>> = {
  'p:': 'xmlns:p="urn:example:p"',
  'qemu:': "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'",
  'late:': 'xmlns:late = "urn:example:late&amp;x"',
};

/** An element whose prefixes are bound in itself, now and then after their use, with whatever inside. */
const { element } = fc.letrec<{ element: string; item: string }>((tie) => ({
  element: fc
    .record({
      name: fc.constantFrom(...names),
      prefix: fc.constantFrom(...prefixes),
      plain: fc.uniqueArray(fc.tuple(fc.constantFrom('b', 'c', 'é'), quoted), {
        maxLength: 2,
        selector: ([key]) => key,
      }),
      foreign: fc.option(fc.tuple(fc.constantFrom('p:', 'late:'), quoted), { nil: undefined }),
      fallback: fc.constantFrom('', '', ` xmlns='urn:example:default'`, ` xmlns=""`),
      unused: fc.constantFrom('', '', ` xmlns:unused="urn:example:unused"`),
      gap: space,
      items: fc.array(tie('item'), { maxLength: 3 }),
      isClosed: fc.boolean(),
    })
    .map(({ name, prefix, plain, foreign, fallback, unused, gap, items, isClosed }) => {
      const used = new Set([prefix, foreign?.[0] ?? ''].filter((each) => each !== ''));
      const attributes = [
        ...plain.map(([key, inner]) => `${key}${gap}=${gap}${inner}`),
        ...(foreign === undefined ? [] : [`${foreign[0]}at=${foreign[1]}`]),
        ...[...used].map((each) => declarations[each] ?? ''),
      ].map((each) => `${gap}${each}`);
      const start = `<${prefix}${name}${attributes.join('')}${fallback}${unused}`;
      const inner = items.join('');
      return inner === '' && isClosed
        ? `${start}${gap}/>`
        : `${start}>${inner}</${prefix}${name}${gap}>`;
    }),
  item: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    text,
    comment,
    instruction,
    section,
    tie('element'),
  ),
}));
const content = fc
  .array(fc.oneof(text, comment, instruction, section, element), { maxLength: 4 })
  // An element at the end keeps white space here apart from what a mending removes after it.
  .map((items) => `${items.join('')}<end/>`);
const outside = fc.array(fc.oneof(comment, instruction, fc.constant('\n')), { maxLength: 3 });

interface Place {
  type: string;
  attributes: string;
  children: string;
}
const oldPlaces: readonly Place[] = [
  { type: 'file', attributes: `file='/old/vda.img'`, children: '' },
  { type: 'block', attributes: `dev = "/dev/vg/old"`, children: '' },
  { type: 'volume', attributes: `pool='p' volume='v'`, children: '' },
  {
    type: 'network',
    attributes: `protocol='rbd' name='old/image'`,
    children: `<host name='192.0.2.9' port='6789'/><auth username='u'><secret type='ceph' usage='s'/></auth><config file='/etc/ceph.conf'/>`,
  },
];
const newPlaces: readonly (Place & { place: Omit<Mending['place'], 'format'> })[] = [
  {
    ...{ type: 'file', attributes: `file='/new &amp; &quot;/vda'`, children: '' },
    place: { kind: 'file', path: '/new & "/vda' },
  },
  {
    ...{ type: 'block', attributes: `dev='/dev/new'`, children: '' },
    place: { kind: 'block', path: '/dev/new' },
  },
  {
    type: 'network',
    attributes: `protocol='rbd' name='new/image'`,
    children: `<host name='192.0.2.1' port='3300'/>`,
    place: {
      ...{ kind: 'network', path: 'rbd:new/image' },
      network: {
        ...{ protocol: 'rbd', name: 'new/image' },
        hosts: [{ name: '192.0.2.1', port: 3300 }],
      },
    },
  },
];

const backing = `<backingStore type='file'><format type='raw'/><source file='/old/base'/></backingStore>`;

/** Random definitions with their mendings. */
export const mendings: fc.Arbitrary<Mending> = fc
  .record({
    prolog: fc.tuple(fc.constantFrom('', `<?xml version='1.0' encoding="UTF-8"?>`), outside),
    epilog: outside,
    parts: fc.tuple(content, content, content, content, content, content, content),
    from: fc.constantFrom(...oldPlaces),
    to: fc.constantFrom(...newPlaces),
    format: fc.constantFrom('raw' as const, 'qcow2' as const),
    keepBacking: fc.boolean(),
    extra: quoted,
  })
  .map(({ prolog, epilog, parts, from, to, format, keepBacking, extra }) => {
    const [top, first, meta, beforeDisk, inSource, inDisk, last] = parts;
    const build = (place: Place, of: { format: string; note: string; backing: string }): string =>
      `${prolog[0]}${prolog[1].join('')}<domain type='kvm' xmlns:root="urn:example:root" root:kept=${extra}>${top}<name>n</name>` +
      `<uuid>7d9e6a4c-52a1-4f0e-8f2b-9d7f5a3c1b20</uuid>${first}<memory>1024</memory>` +
      `<metadata>${meta}${of.note}</metadata><devices>${beforeDisk}` +
      `<disk type='${place.type}' device="disk" snapshot='external'>` +
      `<driver name='qemu' type='${of.format}' discard="unmap" iothread='2' odd=${extra}/>` +
      `<source ${place.attributes} root:kept=${extra}>` +
      `<encryption format='luks'><secret type='passphrase' usage='k'/></encryption>${inSource}${place.children}</source>` +
      `<target dev='vda' bus="virtio"/><blockio logical_block_size='4096'/><serial>S&#13;1</serial>${inDisk}${of.backing}</disk>` +
      `${last}</devices></domain>${epilog.join('')}`;
    return {
      before: build(from, { format: 'qcow2', note: '', backing }),
      place: { ...to.place, format, ...(keepBacking ? { keepBacking } : {}) },
      after: build(to, { format, note: noteXml, backing: keepBacking ? backing : '' }),
    };
  });
