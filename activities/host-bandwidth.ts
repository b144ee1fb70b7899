import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { BandwidthInForce } from '../domain/hosts/state.ts';
import { replaceDurably } from '../guard/durable.ts';
import type { HostParts } from './parts.ts';
import type { BandwidthOrder } from './upkeep.ts';

/** In the state folder: what a person set last, so that a restarted worker begins with it. */
const fileName = 'limits.json';

const cap = z.number().int().min(0);
const orderSchema = z.object({
  upBytesPerSecond: cap.optional(),
  downBytesPerSecond: cap.optional(),
});

type Listener = (now: BandwidthInForce) => Promise<void> | void;

/** The caps of all moves of this host together: as configured, until a person sets others. */
export class HostBandwidth {
  readonly #parts: Pick<HostParts, 'stateDir' | 'bandwidthBytesPerSecond'>;
  readonly #listeners = new Set<Listener>();
  #order: Promise<BandwidthOrder> | undefined;

  constructor(parts: Pick<HostParts, 'stateDir' | 'bandwidthBytesPerSecond'>) {
    this.#parts = parts;
  }

  /** Bytes a second; 0 is none. */
  async inForce(): Promise<BandwidthInForce> {
    this.#order ??= readOrder(this.#file);
    const { upBytesPerSecond, downBytesPerSecond } = await this.#order;
    const configured = this.#parts.bandwidthBytesPerSecond;
    return {
      upBytesPerSecond: upBytesPerSecond ?? configured,
      downBytesPerSecond: downBytesPerSecond ?? configured,
    };
  }

  /** Written down first, then told to whoever is under way. Rejects with the first that could not follow. */
  async apply(order: BandwidthOrder): Promise<BandwidthInForce> {
    const checked = orderSchema.parse(order) as BandwidthOrder;
    await replaceDurably(
      { path: this.#file, temporary: `${this.#file}.new` },
      Buffer.from(JSON.stringify(checked)),
    );
    this.#order = Promise.resolve(checked);
    const now = await this.inForce();
    const told = await Promise.allSettled([...this.#listeners].map(async (tell) => tell(now)));
    for (const one of told) if (one.status === 'rejected') throw one.reason;
    return now;
  }

  /** Hears of every change from now on; gives the way to stop. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get #file(): string {
    return join(this.#parts.stateDir, fileName);
  }
}

/** A file that is missing or damaged says nothing: the host's entity tells the caps again. */
async function readOrder(file: string): Promise<BandwidthOrder> {
  try {
    const read = orderSchema.safeParse(JSON.parse(await readFile(file, 'utf8')));
    return (read.data ?? {}) as BandwidthOrder;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT')
      return {};
    throw error;
  }
}
