/** Typed parameters: libvirt's named values, used for migration parameters and statistics. */
import { bool, f64, i32, i64, list, string, u32, u64 } from './codec.ts';
import type { Codec } from './codec.ts';
import { ProtocolError } from './xdr.ts';

/** One named value; `type` decides how it travels and what `value` is. */
export type TypedParam =
  | { readonly field: string; readonly type: 'i32' | 'u32' | 'f64'; readonly value: number }
  | { readonly field: string; readonly type: 'i64' | 'u64'; readonly value: bigint }
  | { readonly field: string; readonly type: 'bool'; readonly value: boolean }
  | { readonly field: string; readonly type: 'string'; readonly value: string };

/** The numbers of virTypedParameterType. */
const typeNumbers = { i32: 1, u32: 2, i64: 3, u64: 4, f64: 5, bool: 6, string: 7 } as const;

const typedParam: Codec<TypedParam> = {
  minBytes: 12,
  encode: (to, param) => {
    to.string(param.field);
    to.i32(typeNumbers[param.type]);
    switch (param.type) {
      case 'i32':
        i32.encode(to, param.value);
        break;
      case 'u32':
        u32.encode(to, param.value);
        break;
      case 'f64':
        f64.encode(to, param.value);
        break;
      case 'i64':
        i64.encode(to, param.value);
        break;
      case 'u64':
        u64.encode(to, param.value);
        break;
      case 'bool':
        bool.encode(to, param.value);
        break;
      case 'string':
        string.encode(to, param.value);
        break;
    }
  },
  decode: (from) => {
    const field = from.string();
    const type = from.i32();
    switch (type) {
      case typeNumbers.i32:
        return { field, type: 'i32', value: i32.decode(from) };
      case typeNumbers.u32:
        return { field, type: 'u32', value: u32.decode(from) };
      case typeNumbers.i64:
        return { field, type: 'i64', value: i64.decode(from) };
      case typeNumbers.u64:
        return { field, type: 'u64', value: u64.decode(from) };
      case typeNumbers.f64:
        return { field, type: 'f64', value: f64.decode(from) };
      case typeNumbers.bool:
        return { field, type: 'bool', value: bool.decode(from) };
      case typeNumbers.string:
        return { field, type: 'string', value: string.decode(from) };
      default:
        throw new ProtocolError(`parameter '${field}' is of an unknown type ${type}`);
    }
  },
};

/** A list of typed parameters of at most `maxItems`. */
export const typedParams = (maxItems: number): Codec<readonly TypedParam[]> =>
  list(typedParam, maxItems);

/** Builds parameters: `[param.string('destination_name', name), param.u64('bandwidth', 20n)]`. */
export const param = {
  i32: (field: string, value: number): TypedParam => ({ field, type: 'i32', value }),
  u32: (field: string, value: number): TypedParam => ({ field, type: 'u32', value }),
  i64: (field: string, value: bigint): TypedParam => ({ field, type: 'i64', value }),
  u64: (field: string, value: bigint | number): TypedParam => ({
    field,
    type: 'u64',
    value: BigInt(value),
  }),
  f64: (field: string, value: number): TypedParam => ({ field, type: 'f64', value }),
  bool: (field: string, value: boolean): TypedParam => ({ field, type: 'bool', value }),
  string: (field: string, value: string): TypedParam => ({ field, type: 'string', value }),
} as const;

/** The parameter's number, or undefined when it is absent, no number, or too large to be exact. */
export function numberParam(params: readonly TypedParam[], field: string): number | undefined {
  const value = params.find((each) => each.field === field)?.value;
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const number = Number(value);
  return typeof value === 'number' || Number.isSafeInteger(number) ? number : undefined;
}

/** The parameter's text, or undefined when it is absent or no text. */
export function stringParam(params: readonly TypedParam[], field: string): string | undefined {
  const value = params.find((each) => each.field === field)?.value;
  return typeof value === 'string' ? value : undefined;
}
