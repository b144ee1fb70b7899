import { join } from 'node:path';
import { z } from 'zod';
import type { BandwidthInForce } from '../domain/hosts/state.ts';
import type { HostParts } from './parts.ts';
import { Followed, RememberedOrder } from './remembered-order.ts';
import type { BandwidthOrder } from './upkeep.ts';

const cap = z.number().int().min(0);
const orderSchema = z.object({
  upBytesPerSecond: cap.optional(),
  downBytesPerSecond: cap.optional(),
});

/** The caps of all moves of this host together: as configured, until a person sets others. */
export class HostBandwidth extends Followed<BandwidthInForce> {
  readonly #configured: number;
  readonly #order: RememberedOrder<BandwidthOrder>;

  constructor(parts: Pick<HostParts, 'stateDir' | 'bandwidthBytesPerSecond'>) {
    super();
    this.#configured = parts.bandwidthBytesPerSecond;
    this.#order = new RememberedOrder(join(parts.stateDir, 'limits.json'), orderSchema);
  }

  /** Bytes a second; 0 is none. */
  async inForce(): Promise<BandwidthInForce> {
    const { upBytesPerSecond, downBytesPerSecond } = await this.#order.current();
    return {
      upBytesPerSecond: upBytesPerSecond ?? this.#configured,
      downBytesPerSecond: downBytesPerSecond ?? this.#configured,
    };
  }

  /** Written down first, then told to whoever is under way. Rejects with the first that could not follow. */
  async apply(order: BandwidthOrder): Promise<BandwidthInForce> {
    await this.#order.set(order);
    const now = await this.inForce();
    await this.tell(now);
    return now;
  }
}
