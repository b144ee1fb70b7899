import { Throttle } from '../../transfer/throttle.ts';

/** The conversion host's token bucket, which all copies share, and one an import in front of it. */
export class ImportThrottles {
  readonly #all: Throttle;
  readonly #byImport = new Map<string, Throttle>();

  /** 0 is no cap. */
  constructor(bytesPerSecond: number) {
    this.#all = new Throttle({ bytesPerSecond });
  }

  /** Runs a copy of an import. A later attempt has the import's cap as it asks for it. */
  async during<T>(
    of: { migrationId: string; bandwidthBytesPerSecond: number },
    copy: (throttle: Pick<Throttle, 'take'>) => Promise<T>,
  ): Promise<T> {
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
