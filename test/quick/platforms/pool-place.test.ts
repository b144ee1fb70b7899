import { describe, expect, it } from 'vitest';
import { placeInPool } from '../../../platforms/libvirt/pool-place.ts';
import { parseXml } from '../../../platforms/libvirt/xml.ts';

const poolOf = (xml: string) => parseXml(xml, { root: 'pool' }).documentElement ?? undefined;
const secret = '00000000-0000-4000-8000-000000000001';

describe('a volume of a network pool', () => {
  it('of Ceph is an image with its monitors and its login', () => {
    const pool = poolOf(
      `<pool type='rbd'><name>p</name><source><host name='mon1' port='6789'/><host name='mon2'/><name>vms</name><auth type='ceph' username='libvirt'><secret uuid='${secret}'/></auth></source></pool>`,
    );
    expect(placeInPool(pool, { name: 'web', path: 'vms/web' })).toEqual({
      ...{ protocol: 'rbd', name: 'vms/web' },
      hosts: [{ name: 'mon1', port: 6789 }, { name: 'mon2' }],
      auth: { username: 'libvirt', secret: { uuid: secret } },
    });
  });

  it('of iSCSI is a LUN of its target, and its password one of an iSCSI login', () => {
    const pool = poolOf(
      `<pool type='iscsi-direct'><source><host name='192.0.2.1' port='3260'/><device path='iqn.a:b'/><auth type='chap' username='u'><secret usage='chap-of-lab'/></auth></source></pool>`,
    );
    expect(placeInPool(pool, { name: 'unit:0:0:12', path: 'ip-192.0.2.1' })).toEqual({
      ...{ protocol: 'iscsi', name: 'iqn.a:b/12', hosts: [{ name: '192.0.2.1', port: 3260 }] },
      auth: { username: 'u', secret: { usageType: 'iscsi', usage: 'chap-of-lab' } },
    });
  });

  it('of a kind that nobody knows is said to be so', () => {
    const pool = poolOf(`<pool type='gluster'><source/></pool>`);
    expect(placeInPool(pool, { name: 'v', path: 'gluster://v' })).toEqual({
      ...{ protocol: 'other', name: 'gluster://v', hosts: [] },
    });
  });
});
