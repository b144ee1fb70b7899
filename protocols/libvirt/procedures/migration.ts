import { bytes, flags, i32, optional, size, string, u64 } from '../codec.ts';
import { domain } from '../types.ts';
import { typedParams } from '../typed-params.ts';
import { call } from './call.ts';

const xml = string;
const none = {};
const cookie = bytes(4 * 1024 * 1024);
const migrationParams = typedParams(64);
const jobParams = typedParams(64);

/** Jobs and migration: the v3 protocol with typed parameters. */
export const migrationCalls = {
  /** Times in ms, the rest in bytes. */
  DomainGetJobInfo: call(
    163,
    { dom: domain },
    {
      type: i32,
      timeElapsed: size,
      timeRemaining: size,
      dataTotal: size,
      dataProcessed: size,
      dataRemaining: size,
      memTotal: size,
      memProcessed: size,
      memRemaining: size,
      fileTotal: size,
      fileProcessed: size,
      fileRemaining: size,
    },
  ),
  DomainAbortJob: call(164, { dom: domain }, none),
  /** In ms. */
  DomainMigrateSetMaxDowntime: call(166, { dom: domain, downtimeMs: size, flags }, none),
  /** In MiB/s. */
  DomainMigrateSetMaxSpeed: call(207, { dom: domain, bandwidth: u64, flags }, none),
  DomainMigrateGetMaxSpeed: call(242, { dom: domain, flags }, { bandwidth: u64 }),
  DomainGetJobStats: call(298, { dom: domain, flags }, { type: i32, params: jobParams }),
  /** In bytes. */
  DomainMigrateSetCompressionCache: call(300, { dom: domain, cacheSize: size, flags }, none),
  DomainMigrateBegin3Params: call(
    302,
    { dom: domain, params: migrationParams, flags },
    { cookieOut: cookie, xml },
  ),
  DomainMigratePrepare3Params: call(
    303,
    { params: migrationParams, cookieIn: cookie, flags },
    { cookieOut: cookie, uriOut: optional(string) },
  ),
  DomainMigratePerform3Params: call(
    305,
    { dom: domain, dconnuri: optional(string), params: migrationParams, cookieIn: cookie, flags },
    { cookieOut: cookie },
  ),
  DomainMigrateFinish3Params: call(
    306,
    { params: migrationParams, cookieIn: cookie, flags, cancelled: i32 },
    { dom: domain, cookieOut: cookie },
  ),
  DomainMigrateConfirm3Params: call(
    307,
    { dom: domain, params: migrationParams, cookieIn: cookie, flags, cancelled: i32 },
    none,
  ),
  DomainMigrateStartPostCopy: call(364, { dom: domain, flags }, none),
  DomainMigrateGetMaxDowntime: call(387, { dom: domain, flags }, { downtimeMs: size }),
  DomainAbortJobFlags: call(442, { dom: domain, flags }, none),
} as const;
