import { flags, i32, list, optional, size, string, u64 } from '../codec.ts';
import { checkpoint, domain, snapshot } from '../types.ts';
import { typedParams } from '../typed-params.ts';
import { call } from './call.ts';

const xml = string;
const none = {};

/** Block jobs, snapshots, checkpoints and backups of a running domain. */
export const blockCalls = {
  DomainSnapshotCreateXML: call(185, { dom: domain, xml, flags }, { snapshot }),
  DomainSnapshotGetXMLDesc: call(186, { snapshot, flags }, { xml }),
  DomainSnapshotCurrent: call(191, { dom: domain, flags }, { snapshot }),
  DomainSnapshotDelete: call(193, { snapshot, flags }, none),
  DomainBlockJobAbort: call(237, { dom: domain, path: string, flags }, none),
  /** `current` and `end` have a unit only the job knows; their ratio is the progress. */
  DomainGetBlockJobInfo: call(
    238,
    { dom: domain, path: string, flags },
    { found: i32, type: i32, bandwidth: u64, current: size, end: size },
  ),
  DomainBlockJobSetSpeed: call(239, { dom: domain, path: string, bandwidth: u64, flags }, none),
  DomainBlockPull: call(240, { dom: domain, path: string, bandwidth: u64, flags }, none),
  DomainBlockRebase: call(
    266,
    { dom: domain, path: string, base: optional(string), bandwidth: u64, flags },
    none,
  ),
  DomainListAllSnapshots: call(
    274,
    { dom: domain, needResults: i32, flags },
    { snapshots: list(snapshot, 16_384), count: i32 },
  ),
  DomainBlockCommit: call(
    290,
    {
      dom: domain,
      disk: string,
      base: optional(string),
      top: optional(string),
      bandwidth: u64,
      flags,
    },
    none,
  ),
  DomainBlockCopy: call(
    345,
    { dom: domain, path: string, destXml: xml, params: typedParams(16), flags },
    none,
  ),
  DomainCheckpointCreateXML: call(411, { dom: domain, xml, flags }, { checkpoint }),
  DomainCheckpointGetXMLDesc: call(412, { checkpoint, flags }, { xml }),
  DomainListAllCheckpoints: call(
    413,
    { dom: domain, needResults: i32, flags },
    { checkpoints: list(checkpoint, 16_384), count: i32 },
  ),
  DomainCheckpointLookupByName: call(415, { dom: domain, name: string, flags }, { checkpoint }),
  DomainCheckpointDelete: call(417, { checkpoint, flags }, none),
  DomainBackupBegin: call(
    421,
    { dom: domain, backupXml: xml, checkpointXml: optional(xml), flags },
    none,
  ),
  DomainBackupGetXMLDesc: call(422, { dom: domain, flags }, { xml }),
} as const;
