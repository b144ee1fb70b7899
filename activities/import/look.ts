/** What a conversion host says of foreign platforms and of itself; nothing is changed but what an import left undone. */
import type { ForeignVmSummary } from '../../domain/foreign.ts';
import { atProvider } from './at-provider.ts';
import { cacheOf } from './cache-of.ts';
import { conversionFacts } from './conversion-facts.ts';
import { settleFormer } from './give-back.ts';
import type {
  ForeignCheck,
  ImportRef,
  InspectForeignInput,
  InspectForeignResult,
  ListForeignInput,
  ListForeignResult,
} from './contract.ts';
import type { ImportParts } from './parts.ts';

/** Lines and bytes of one answer: Temporal takes messages of 2 MiB. */
const mostLines = 2_000;
const mostBytes = 1024 * 1024;

/** Marks nothing that is left: a look leaves nothing. */
const lookLabel = 'look';

export async function listForeign(
  parts: ImportParts,
  { provider, skip, most }: ListForeignInput,
  signal: AbortSignal,
): Promise<ListForeignResult> {
  const options = { label: lookLabel, pause: false, reads: true, signal };
  return atProvider(parts, provider, options, async (source) => {
    const vms: ForeignVmSummary[] = [];
    let [seen, bytes] = [0, 0];
    for await (const vm of source.list(signal)) {
      seen += 1;
      if (seen <= skip) continue;
      bytes += JSON.stringify(vm).length;
      if (vms.length >= Math.min(most, mostLines) || bytes > mostBytes) return { vms, more: true };
      vms.push(vm);
    }
    return { vms, more: false };
  });
}

export async function inspectForeign(
  parts: ImportParts,
  { provider, vm }: InspectForeignInput,
  signal: AbortSignal,
): Promise<InspectForeignResult> {
  const options = { label: lookLabel, pause: false, reads: true, signal };
  return atProvider(parts, provider, options, async (source) => {
    const found = await source.inspect(vm, signal);
    return { vm: found, concerns: await source.concerns(found, signal) };
  });
}

export async function checkForeign(
  parts: ImportParts,
  ref: ImportRef,
  signal: AbortSignal,
): Promise<ForeignCheck> {
  const { provider, foreign } = ref;
  await settleFormer(parts, ref, signal);
  const cache = cacheOf(parts, ref);
  const [found, host, takenBytes, packedBytes] = await Promise.all([
    inspectForeign(parts, { provider, vm: foreign.id }, signal),
    conversionFacts(parts, signal),
    cache.takenBytes(),
    cache.packedBytes(),
  ]);
  return { ...found, host, cachedBytes: Math.max(0, takenBytes - packedBytes) };
}
