/**
 * `node test/quick/cli/play.ts ARGS...`: the command line on this terminal, with a played move behind it: a live one
 * for `live`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { runCli } from '../../../cli/program.ts';
import { processTerminal } from '../../../cli/terminal.ts';
import {
  backendWith,
  epochMs,
  FakeMove,
  ferryWith,
  hostLine,
  playedStatus,
} from './fake-client.ts';
import { playedLiveStatus } from './fake-live.ts';

const played = process.argv[2] === 'live' ? playedLiveStatus : playedStatus;
const startedAt = Date.now();
const elapsed = (): number => Date.now() - startedAt;

class PlayedMove extends FakeMove {
  override status() {
    return Promise.resolve(played(elapsed()));
  }
  override async *watch({ signal }: { signal?: AbortSignal } = {}) {
    while (signal?.aborted !== true) {
      const status = played(elapsed());
      yield status;
      if (status.report.phase === 'awaiting-commit') return;
      await sleep(500, undefined, { signal: signal! }).catch(() => undefined);
    }
  }
}

const terminal = { ...processTerminal(), now: () => epochMs + elapsed() };
const move = new PlayedMove();
const ferry = ferryWith(move, {
  migrate: () => sleep(200, move),
  hosts: () => Promise.resolve([hostLine('alpha'), hostLine('beta'), hostLine('gamma', false)]),
});
process.exit(await runCli(process.argv.slice(2), { terminal, backend: backendWith(ferry) }));
