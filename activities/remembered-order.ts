import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { replaceDurably } from '../guard/durable.ts';

/** What a person set last, as a file of the state folder: a restarted worker begins with it. */
export class RememberedOrder<Order extends object> {
  readonly #file: string;
  readonly #schema: z.ZodType<object>;
  #order: Promise<Order> | undefined;

  /** Every key of `schema` is optional: `{}` is an order that says nothing. */
  constructor(file: string, schema: z.ZodType<object>) {
    this.#file = file;
    this.#schema = schema;
  }

  current(): Promise<Order> {
    this.#order ??= this.#read();
    return this.#order;
  }

  /** Resolves once it is written down. Throws what the schema says of an order that is none. */
  async set(order: Order): Promise<void> {
    const checked = this.#schema.parse(order) as Order;
    await replaceDurably(
      { path: this.#file, temporary: `${this.#file}.new` },
      Buffer.from(JSON.stringify(checked)),
    );
    this.#order = Promise.resolve(checked);
  }

  /** A file that is missing or damaged says nothing: the host's entity tells the order again. */
  async #read(): Promise<Order> {
    try {
      const read = this.#schema.safeParse(JSON.parse(await readFile(this.#file, 'utf8')));
      return (read.data ?? {}) as Order;
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT')
        return {} as Order;
      throw error;
    }
  }
}

/** Those who have to follow a change. */
export class Followed<Now> {
  readonly #listeners = new Set<(now: Now) => Promise<void> | void>();

  /** Hears of every change from now on; gives the way to stop. */
  onChange(listener: (now: Now) => Promise<void> | void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Rejects with the first that could not follow, once all were told. */
  protected async tell(now: Now): Promise<void> {
    const told = await Promise.allSettled([...this.#listeners].map(async (tell) => tell(now)));
    for (const one of told) if (one.status === 'rejected') throw one.reason;
  }
}
