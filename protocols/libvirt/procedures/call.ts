/** How a row of the wire table is written. */
import { struct } from '../codec.ts';
import type { Codec, Fields, StructOf } from '../codec.ts';

/** One call of the wire table. */
export interface Procedure<A extends Fields, R extends Fields> {
  readonly number: number;
  readonly args: Codec<StructOf<A>>;
  readonly result: Codec<StructOf<R>>;
}

/** A row: number, arguments, results. */
export const call = <const A extends Fields, const R extends Fields>(
  number: number,
  args: A,
  result: R,
): Procedure<A, R> => ({ number, args: struct(args), result: struct(result) });
