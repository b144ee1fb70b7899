/** Ports of the machine's loopback for servers that are told their port before they start. */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

const lowest = 15_000;
const mostTries = 200;

/**
 * Different ports that nobody has now, below those that the kernel gives away by itself: Temporal's dev server asks
 * it for a dozen, and must not be given one that was chosen for something else and is not taken yet.
 */
export async function freePorts(count: number): Promise<number[]> {
  const chosen = new Set<number>();
  for (let tries = 0; chosen.size < count; tries += 1) {
    if (tries === mostTries) throw new Error(`found no ${count} free ports above ${lowest}`);
    const port = randomInt(lowest, ephemeralFrom());
    if (await isFree(port)) chosen.add(port);
  }
  return [...chosen];
}

/** First port that the kernel gives to whoever asks for any; as Linux has it where it does not say. */
function ephemeralFrom(): number {
  try {
    const from = Number(
      readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s/)[0],
    );
    return Math.max(from, lowest + 1_000);
  } catch {
    return 32_768;
  }
}

/** Whether a server could listen on that port of the loopback now. */
export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** Whether somebody takes connections on that port of the loopback now. */
export const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1_000 });
    const end = (open: boolean) => (): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
