/** The serial console of a guest, as a person at it has it: what is said from now on is read, and what is typed arrives. */
import { once } from 'node:events';
import type { LabHost } from '../../../lab/host.ts';

export interface GuestTerminal extends AsyncDisposable {
  /** Resolves once it has said so, behind what an earlier wait saw; rejects with the end of what it said. */
  says: (text: RegExp, limitMs: number) => Promise<void>;
  type: (line: string) => void;
}

/** Of a guest that runs; what it said before is gone. */
export async function openGuestTerminal(host: LabHost, vm: string): Promise<GuestTerminal> {
  const { stdout } = await host.exec(['virsh', 'ttyconsole', vm], { timeoutMs: 30_000 });
  const line = host.spawn(['socat', 'STDIO', `OPEN:${stdout.trim()},rawer,noctty`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { stdin: keys, stdout: screen } = line;
  if (keys === null || screen === null) throw new Error('socat has no standard input and output');
  const closed = once(line, 'close');
  const isOver = new AbortController();
  void closed.then(() => isOver.abort(new Error('its terminal is closed')));
  let said = '';
  let seen = 0;
  screen.setEncoding('utf8').on('data', (text: string) => (said += text));
  return {
    says: async (text, limitMs) => {
      const signal = AbortSignal.any([AbortSignal.timeout(limitMs), isOver.signal]);
      for (;;) {
        const found = text.exec(said.slice(seen));
        if (found !== null) {
          seen += found.index + found[0].length;
          return;
        }
        await once(screen, 'data', { signal }).catch((cause: unknown) => {
          const last = JSON.stringify(said.slice(-400));
          throw new Error(`${vm} did not say ${String(text)}; at last: ${last}`, { cause });
        });
      }
    },
    type: (text) => void keys.write(`${text}\n`),
    [Symbol.asyncDispose]: async () => {
      line.kill('SIGTERM');
      await closed;
    },
  };
}
