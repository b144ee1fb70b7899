import { uploadShare } from '../../domain/hosts/conversion.ts';
import type { UploadShareInput } from './contract.ts';
import type { ConversionTermsInForce } from './conversion-terms.ts';

/**
 * What leaves the cache passes no bucket of this host: the targets fetch it. So each import that transfers is told an
 * equal share of the host's cap, and anew whenever one begins or ends or the cap changes; its target holds to it.
 */
export class UploadShares {
  readonly #terms: Pick<ConversionTermsInForce, 'inForce' | 'onChange'>;
  readonly #transfers = new Set<string>();
  #news = Promise.withResolvers<undefined>();

  constructor(terms: Pick<ConversionTermsInForce, 'inForce' | 'onChange'>) {
    this.#terms = terms;
    terms.onChange(() => this.#tell());
  }

  /** The import's share, bytes a second, 0 for none; with `known` as soon as it is another one than that. */
  async of(
    { migrationId, known }: Pick<UploadShareInput, 'migrationId' | 'known'>,
    signal: AbortSignal,
  ): Promise<number> {
    if (!this.#transfers.has(migrationId)) {
      this.#transfers.add(migrationId);
      this.#tell();
    }
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
    }
  }

  /** The import transfers nothing any more. */
  leave(migrationId: string): void {
    if (this.#transfers.delete(migrationId)) this.#tell();
  }

  #tell(): void {
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<undefined>();
    resolve(undefined);
  }
}
