import { uploadShare } from '../../domain/hosts/conversion.ts';
import type { UploadShareInput } from './contract.ts';
import type { ConversionTermsInForce } from './conversion-terms.ts';

/** An import whose worker of workflows is away asks again later; till then it counts for so long, ms. */
const askedAgainMs = 10 * 60_000;

/**
 * What leaves the cache passes no bucket of this host: the targets fetch it. So each import that transfers is told an
 * equal share of the host's cap, and anew whenever one begins or ends or the cap changes; its target holds to it.
 */
export class UploadShares {
  readonly #terms: Pick<ConversionTermsInForce, 'inForce' | 'onChange'>;
  readonly #graceMs: number;
  /** How many ask for each now; an import that transfers always does, but for moments. */
  readonly #transfers = new Map<string, number>();
  #news = Promise.withResolvers<undefined>();

  constructor(terms: Pick<ConversionTermsInForce, 'inForce' | 'onChange'>, graceMs = askedAgainMs) {
    this.#terms = terms;
    this.#graceMs = graceMs;
    terms.onChange(() => this.#tell());
  }

  /** The import's share, bytes a second, 0 for none; with `known` as soon as it is another one than that. */
  async of(
    { migrationId, known }: Pick<UploadShareInput, 'migrationId' | 'known'>,
    signal: AbortSignal,
  ): Promise<number> {
    const isNew = !this.#transfers.has(migrationId);
    this.#transfers.set(migrationId, (this.#transfers.get(migrationId) ?? 0) + 1);
    if (isNew) this.#tell();
    const over = Promise.withResolvers<never>();
    const end = (): void => over.reject(signal.reason as Error);
    signal.addEventListener('abort', end, { once: true });
    over.promise.catch(() => undefined);
    try {
      for (;;) {
        signal.throwIfAborted();
        const news = this.#news.promise;
        const share = uploadShare(await this.#terms.inForce(), this.#transfers.size);
        if (share !== known) return share;
        await Promise.race([news, over.promise]);
      }
    } finally {
      signal.removeEventListener('abort', end);
      const asking = this.#transfers.get(migrationId);
      if (asking !== undefined) this.#transfers.set(migrationId, asking - 1);
      // One whose import was terminated says no farewell.
      setTimeout(() => this.#leaveUnasked(migrationId), this.#graceMs).unref();
    }
  }

  /** The import transfers nothing any more. */
  leave(migrationId: string): void {
    if (this.#transfers.delete(migrationId)) this.#tell();
  }

  #leaveUnasked(migrationId: string): void {
    if (this.#transfers.get(migrationId) === 0) this.leave(migrationId);
  }

  #tell(): void {
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<undefined>();
    resolve(undefined);
  }
}
