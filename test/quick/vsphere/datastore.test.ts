/** Paths and descriptors come from outside: what is taken, and what is not. */
import { describe, expect, it } from 'vitest';
import {
  besides,
  folderPath,
  parseDatastorePath,
} from '../../../platforms/vsphere/datastore-path.ts';
import { parseDescriptor } from '../../../platforms/vsphere/descriptor.ts';

describe('a path on a datastore', () => {
  it('becomes a request whose every part is escaped', () => {
    const path = parseDatastorePath('[nfs 1 & 2] my vm#1/disk?.vmdk');
    expect(folderPath(path, 'DC0/ü')).toBe(
      '/folder/my%20vm%231/disk%3F.vmdk?dcPath=DC0%2F%C3%BC&dsName=nfs+1+%26+2',
    );
  });

  it('gives other files of its folder', () => {
    const path = besides(parseDatastorePath('[ds] a/b/c.vmdk'), 'c-flat.vmdk');
    expect(path).toEqual({ datastore: 'ds', parts: ['a', 'b', 'c-flat.vmdk'] });
    expect(besides(parseDatastorePath('[ds] c.vmdk'), 'd')).toEqual({
      datastore: 'ds',
      parts: ['d'],
    });
  });

  it.each(['../x', '..', '.', '', 'a/b', 'a\\b', 'a\u0000b'])('has no neighbour %j', (name) => {
    expect(() => besides(parseDatastorePath('[ds] a/b.vmdk'), name)).toThrow(/is no path/);
  });

  it.each([
    '',
    'web.vmdk',
    '[] web.vmdk',
    '[ds]',
    '[ds] ',
    '[ds] /etc/passwd',
    '[ds] a/../b',
    '[ds] a//b',
    `[ds] ${'a'.repeat(2_000)}`,
  ])('is not %j', (text) => {
    expect(() => parseDatastorePath(text)).toThrow(
      expect.objectContaining({ code: 'vsphere-path-invalid' }) as Error,
    );
  });
});

describe('a descriptor', () => {
  const text = (extents: string): string =>
    `# Disk DescriptorFile\r\nversion=1\r\nCID=1a2b3c4d\r\nparentCID=ffffffff\r\ncreateType="vmfs"\r\n\r\n${extents}\r\n\r\nddb.adapterType = "lsilogic"\r\n`;

  it('tells content ID, kind and extents', () => {
    expect(
      parseDescriptor(text('RW 2048 VMFS "web-flat.vmdk"\nRW 8 FLAT "b.vmdk" 16'), 'x'),
    ).toEqual({
      contentId: '1a2b3c4d',
      parentContentId: 'ffffffff',
      createType: 'vmfs',
      extents: [
        { length: 1_048_576, type: 'VMFS', file: 'web-flat.vmdk', offset: 0 },
        { length: 4_096, type: 'FLAT', file: 'b.vmdk', offset: 8_192 },
      ],
    });
  });

  it.each([
    ['without extents', text('')],
    ['with an extent of no size', text('RW VMFS "a"')],
    ['with an extent beyond all sizes', text('RW 9999999999999 VMFS "a" 9999999999999')],
    ['with extents without end', text('RW 1 VMFS "a"\n'.repeat(5_000))],
    ['that is another file', 'KDMV\u0001\u0000\u0000'],
    ['that is empty', ''],
  ])('%s is refused', (_, descriptor) => {
    expect(() => parseDescriptor(descriptor, 'x')).toThrow(
      expect.objectContaining({ code: 'vsphere-descriptor-invalid' }) as Error,
    );
  });
});
