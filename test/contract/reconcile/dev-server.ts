import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { findTemporalCli } from '../../../config/temporal-binary.ts';

const comesUpMs = 40_000;

export interface DevServer extends AsyncDisposable {
  address: string;
}

/** A Temporal of its own, with an empty memory; ended by its PID. */
export async function startDevServer(): Promise<DevServer> {
  const [port, http, metrics] = await Promise.all([freePort(), freePort(), freePort()]);
  const child = spawn(
    findTemporalCli().path,
    [
      ...['server', 'start-dev', '--headless', '--ip', '127.0.0.1', '--port', String(port)],
      ...['--http-port', String(http), '--metrics-port', String(metrics)],
      ...['--log-level', 'never'],
    ],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  const end = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await exited;
    }
  };
  const deadline = performance.now() + comesUpMs;
  const address = `127.0.0.1:${port}`;
  while (!(await answers(address))) {
    if (performance.now() > deadline) {
      await end();
      throw new Error(`the dev server did not come up in ${comesUpMs / 1000} s`);
    }
    await delay(50);
  }
  return { address, [Symbol.asyncDispose]: end };
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });

/** A port that takes connections is not enough: the namespace comes a moment later. */
async function answers(address: string): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: 1_000 }).catch(
    () => undefined,
  );
  try {
    await connection?.workflowService.describeNamespace({ namespace: 'default' });
    return connection !== undefined;
  } catch {
    return false;
  } finally {
    await connection?.close();
  }
}
