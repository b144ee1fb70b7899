/** Threads that obey orders with numbers, over shared memory where bytes are many. `README.md` shows their use. */
export { obeyOrders } from './obey.ts';
export { OrderThread } from './order-thread.ts';
export type { NewOrder } from './order-thread.ts';
