import { join } from 'node:path';
import { z } from 'zod';
import type { ConversionInForce, ConversionTerms } from '../../domain/hosts/conversion.ts';
import { Followed, RememberedOrder } from '../remembered-order.ts';

const cap = z.number().int().min(0);
const orderSchema = z.object({
  takesImports: z.boolean().optional(),
  upBytesPerSecond: cap.optional(),
  downBytesPerSecond: cap.optional(),
  parallel: z.number().int().min(1).optional(),
});

/** What this conversion host holds to: as configured, until a person sets something else. */
export class ConversionTermsInForce extends Followed<ConversionInForce> {
  readonly #configured: ConversionInForce;
  readonly #order: RememberedOrder<Partial<ConversionTerms>>;

  constructor(stateDir: string, configured: Omit<ConversionInForce, 'takesImports'>) {
    super();
    this.#configured = { takesImports: true, ...configured };
    this.#order = new RememberedOrder(join(stateDir, 'conversion.json'), orderSchema);
  }

  async inForce(): Promise<ConversionInForce> {
    return { ...this.#configured, ...(await this.#order.current()) };
  }

  /** As `HostBandwidth.apply`. */
  async apply(terms: ConversionTerms): Promise<ConversionInForce> {
    await this.#order.set(terms);
    const now = await this.inForce();
    await this.tell(now);
    return now;
  }
}
