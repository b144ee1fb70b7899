import { describe, expect, it } from 'vitest';
import { escapeXml, interpreters, isHere, runHook, writeHook } from '../../quick/guard/hook-run.ts';
import { ledgerIn, stateFolder, to } from '../../quick/guard/state-folder.ts';

const allowed = { status: 0, stderr: '', stdout: '' };
const released = to('released', { note: 'moved to beta' });

describe.each(interpreters.filter(([, use]) => isHere(use)))(
  'hostile definitions, %s',
  (_, use) => {
    const mine = '0b0f6f0e-5d5f-4a41-9a3b-6f3a2f6a9c11';
    const other = 'aaaaaaaa-5d5f-4a41-9a3b-6f3a2f6a9c22';
    const path = `/images/a & <b> 'c' "d" é😀 %41.raw`;
    const wrap = (inside: string, uuid = `<uuid>${other}</uuid>`) =>
      `<?xml version='1.0'?>\n<domain type='kvm'><name>x</name>${uuid}${inside}</domain>`;
    const disk = (source: string) => `<devices><disk type='file'>${source}</disk></devices>`;
    const quoted = path.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    const megabytes =
      `<m:note xmlns:m='u' text="${'more than enough '.repeat(6)}">it's text</m:note>`.repeat(
        38_000,
      );

    const refusing: [string, string][] = [
      ['its UUID', wrap('', `<uuid>${mine}</uuid>`)],
      ['its UUID in capitals and spaces', wrap('', `<uuid >\n ${mine.toUpperCase()}\t</uuid >`)],
      ['its UUID by character references', wrap('', `<uuid>&#48;&#x62;${mine.slice(2)}</uuid>`)],
      ['its UUID in CDATA', wrap('', `<uuid><![CDATA[${mine}]]></uuid>`)],
      [
        'its UUID around a comment',
        wrap('', `<uuid>${mine.slice(0, 9)}<!-- <uuid>x</uuid> -->${mine.slice(9)}</uuid>`),
      ],
      [
        'its disk in single quotes',
        wrap(disk(`<source index="1"\n file = '${quoted.replaceAll("'", '&apos;')}'/>`)),
      ],
      [
        'its disk in double quotes',
        wrap(disk(`<source file="${quoted.replaceAll('"', '&quot;')}"></source>`)),
      ],
      [
        'its disk by references',
        wrap(
          disk(
            `<source file='${escapeXml(path).replaceAll('é', '&#xE9;').replaceAll('😀', '&#128512;')}'/>`,
          ),
        ),
      ],
      ['its disk as a device', wrap(disk(`<source a='>' dev='${escapeXml(path)}'/>`))],
      [
        'its disk after 5 MiB of metadata',
        wrap(`<metadata>${megabytes}</metadata>${disk(`<source file='${escapeXml(path)}'/>`)}`),
      ],
      [
        'its disk after a comment with tags',
        wrap(`<!-- <devices> > --> ${disk(`<source file='${escapeXml(path)}'/>`)}`),
      ],
      ['two UUIDs', wrap(`<uuid>${other}</uuid>`)],
      ['no UUID', wrap('', '')],
      ['no end', wrap('').slice(0, -5)],
      ['an unknown entity', wrap(disk("<source file='&own;'/>"))],
      ['a document type', `<!DOCTYPE domain [<!ENTITY own "x">]>${wrap('')}`],
      ['nothing at all', ''],
      ['another root', `<x><domain><uuid>${other}</uuid></domain></x>`],
      ['a thousand levels', wrap(`<devices>${'<a>'.repeat(1000)}${'</a>'.repeat(1000)}</devices>`)],
    ];
    const allowing: [string, string][] = [
      ['the UUID in a comment', wrap(`<!--<uuid>${mine}</uuid>-->`)],
      [
        'the UUID in a CDATA section',
        wrap(`<title><![CDATA[</title><uuid>${mine}</uuid>]]></title>`),
      ],
      [
        'the UUID in an attribute',
        wrap(
          `<title a="<uuid>${mine}</uuid>".../>`
            .replaceAll('<uuid>', '&lt;uuid>')
            .replaceAll('</uuid>', '&lt;/uuid>')
            .replace('...', ''),
        ),
      ],
      [
        'a domain in metadata',
        wrap(
          `<metadata><m:x xmlns:m='u'><domain><uuid>${mine}</uuid>${disk(`<source file='${escapeXml(path)}'/>`)}</domain></m:x></metadata>`,
        ),
      ],
      ['a prefixed uuid', wrap(`<v:uuid>${mine}</v:uuid>`)],
      ['a uuid deeper down', wrap(`<sysinfo><uuid>${mine}</uuid></sysinfo>`)],
      [
        'the path at another device',
        wrap(`<devices><serial><source file='${escapeXml(path)}'/></serial></devices>`),
      ],
      [
        'the path of the backing file of another disk',
        wrap(
          disk(
            `<source file='/o'/><backingStore><source file='${escapeXml(path)}'/></backingStore>`,
          ),
        ),
      ],
      ['the path in another attribute', wrap(disk(`<source file='/o' x='${escapeXml(path)}'/>`))],
      ['a longer path', wrap(disk(`<source file='${escapeXml(path)}x'/>`))],
      [
        'a path that would be code',
        wrap(disk("<source file='/$(touch /tmp/vmferry-hook-pwned)`reboot`;&#39;&quot;*'/>")),
      ],
      ['options instead of paths', wrap(disk("<source file='--help'/>"))],
      ['5 MiB of metadata', wrap(`<metadata><![CDATA[${megabytes}]]></metadata>`)],
    ];

    const prepare = async () => {
      const ledger = ledgerIn(stateFolder());
      await ledger.transition(mine, { ...released, disks: [{ path, identity: '' }] });
      return writeHook(ledger.stateDir, { use });
    };

    it('are refused where they lead to a released VM or cannot be read', async () => {
      const hook = await prepare();
      for (const [what, xml] of refusing) {
        const verdict = runHook(hook, xml);
        expect(verdict.status, what).toBe(1);
        expect(verdict.stderr, what).toMatch(/^vmferry: VM guest may not start/);
      }
    });

    it('are let through where they only look like a released VM', async () => {
      const hook = await prepare();
      for (const [what, xml] of allowing) {
        const { ms: _, ...verdict } = runHook(hook, xml);
        expect(verdict, what).toEqual(allowed);
      }
    });
  },
);
