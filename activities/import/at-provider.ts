import type { ForeignSource } from '../../domain/foreign.ts';
import type { ImportParts, OpenProviderOptions } from './parts.ts';

/** Nothing of it is left at the source when this returns, however it ends. */
export async function atProvider<T>(
  { providers }: Pick<ImportParts, 'providers'>,
  provider: string,
  options: OpenProviderOptions,
  act: (source: ForeignSource) => Promise<T>,
): Promise<T> {
  await using source = await providers.open(provider, options);
  return await act(source);
}
