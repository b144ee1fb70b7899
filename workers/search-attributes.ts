import proto from '@temporalio/proto';
import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { searchAttributes } from '../workflows/contract.ts';
import { answered } from './answered.ts';

/** Registers what moves are searched by; safe to run again, also by several workers at once. */
export async function ensureSearchAttributes(
  connection: NativeConnection,
  namespace: string,
  logger?: Logger,
): Promise<void> {
  const operator = connection.operatorService;
  const asking = { connection, logger, what: 'search attributes' };
  const { customAttributes } = await answered(asking, () =>
    operator.listSearchAttributes({ namespace }),
  );
  const missing = Object.values(searchAttributes).filter((name) => !(name in customAttributes));
  if (missing.length === 0) return;
  const keyword = proto.temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;
  await answered(asking, () =>
    operator.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, keyword])),
    }),
  );
}
