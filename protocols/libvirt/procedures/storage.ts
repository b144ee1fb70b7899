import { flags, i32, list, room, size, string, u32, uuid } from '../codec.ts';
import { pool, volume } from '../types.ts';
import { call } from './call.ts';

const xml = string;
const none = {};

/** Storage pools and volumes; sizes in bytes. */
export const storageCalls = {
  StoragePoolCreateXML: call(76, { xml, flags }, { pool }),
  StoragePoolDefineXML: call(77, { xml, flags }, { pool }),
  StoragePoolCreate: call(78, { pool, flags }, none),
  StoragePoolBuild: call(79, { pool, flags }, none),
  StoragePoolDestroy: call(80, { pool }, none),
  StoragePoolUndefine: call(82, { pool }, none),
  StoragePoolRefresh: call(83, { pool, flags }, none),
  StoragePoolLookupByName: call(84, { name: string }, { pool }),
  StoragePoolLookupByUUID: call(85, { uuid }, { pool }),
  StoragePoolLookupByVolume: call(86, { vol: volume }, { pool }),
  StoragePoolGetInfo: call(
    87,
    { pool },
    { state: u32, capacity: size, allocation: size, available: room },
  ),
  StoragePoolGetXMLDesc: call(88, { pool, flags }, { xml }),
  StorageVolCreateXML: call(93, { pool, xml, flags }, { vol: volume }),
  StorageVolDelete: call(94, { vol: volume, flags }, none),
  StorageVolLookupByName: call(95, { pool, name: string }, { vol: volume }),
  StorageVolLookupByKey: call(96, { key: string }, { vol: volume }),
  StorageVolLookupByPath: call(97, { path: string }, { vol: volume }),
  StorageVolGetInfo: call(98, { vol: volume }, { type: i32, capacity: size, allocation: size }),
  StorageVolGetXMLDesc: call(99, { vol: volume, flags }, { xml }),
  StorageVolGetPath: call(100, { vol: volume }, { path: string }),
  /** Opens a stream: `uploadVolume`. `length` 0 is as much as the stream brings. */
  StorageVolUpload: call(208, { vol: volume, offset: size, length: size, flags }, none),
  /** Opens a stream: `downloadVolume`. `length` 0 is up to the end. */
  StorageVolDownload: call(209, { vol: volume, offset: size, length: size, flags }, none),
  StorageVolResize: call(260, { vol: volume, capacity: size, flags }, none),
  ConnectListAllStoragePools: call(
    281,
    { needResults: i32, flags },
    { pools: list(pool, 4096), count: u32 },
  ),
  StoragePoolListAllVolumes: call(
    282,
    { pool, needResults: i32, flags },
    { vols: list(volume, 16_384), count: u32 },
  ),
  StorageVolGetInfoFlags: call(
    378,
    { vol: volume, flags },
    { type: i32, capacity: size, allocation: size },
  ),
} as const;
