import { Throttle } from '../../transfer/throttle.ts';
import type { ConversionTermsInForce } from './conversion-terms.ts';

/** The conversion host's token bucket, which all copies share, and one an import in front of it. */
export class ImportThrottles {
  readonly #all = new Throttle({ bytesPerSecond: 0 });
  readonly #byImport = new Map<string, Throttle>();
  readonly #terms: Pick<ConversionTermsInForce, 'inForce' | 'onChange'>;

  constructor(terms: Pick<ConversionTermsInForce, 'inForce' | 'onChange'>) {
    this.#terms = terms;
    terms.onChange(({ downBytesPerSecond }) => this.#all.setRate(downBytesPerSecond));
  }

  /** Runs a copy of an import. A later attempt has the import's cap as it asks for it. */
  async during<T>(
    of: { migrationId: string; bandwidthBytesPerSecond: number },
    copy: (throttle: Pick<Throttle, 'take'>) => Promise<T>,
  ): Promise<T> {
    // What a worker before this one was told is known only once it was read.
    this.#all.setRate((await this.#terms.inForce()).downBytesPerSecond);
    const own = new Throttle({ bytesPerSecond: of.bandwidthBytesPerSecond });
    this.#byImport.set(of.migrationId, own);
    try {
      return await copy({
        take: async (bytes, signal) => {
          await own.take(bytes, signal);
          await this.#all.take(bytes, signal);
        },
      });
    } finally {
      // A newer attempt may have taken the place.
      if (this.#byImport.get(of.migrationId) === own) this.#byImport.delete(of.migrationId);
    }
  }

  /** Also for what is being copied now; false if nothing is. */
  change(migrationId: string, bytesPerSecond: number): boolean {
    const own = this.#byImport.get(migrationId);
    own?.setRate(bytesPerSecond);
    return own !== undefined;
  }
}
