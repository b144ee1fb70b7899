/** Questions to a host's libvirt in the middle of the fault table: rows run side by side, and a row's strike may have the daemon away, or the whole host frozen, that another row wants to ask. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecResult } from '../../../lab/enter.ts';
import type { LabHost } from '../../../lab/host.ts';
import { timedOut } from '../../../lab/wait.ts';

/** Longer than any row keeps a daemon away or a host frozen, which is until the move has felt it. */
const awayMs = 150_000;
const callMs = 30_000;
const againMs = 200;

/**
 * What `virsh` says when nobody has answered: libvirtd is not there, comes up, or went in the middle of the call. A
 * refusal by libvirt or by the guard never reads so.
 */
const unanswered = [
  /failed to connect to the hypervisor/i,
  /failed to connect socket/i,
  /end of file while (reading|writing) data/i,
  /cannot (read|write|recv|send) data/i,
  /connection reset by peer/i,
  /client socket is closed/i,
  /connection closed due to/i,
];

/** Whether the daemon has answered, be it with a refusal. */
export const hasAnswered = ({ timedOut: late, exitCode, stderr }: ExecResult): boolean =>
  !late && (exitCode === 0 || !unanswered.some((words) => words.test(stderr)));

type Asked = Pick<LabHost, 'name' | 'exec'>;

/**
 * The answer of a host's libvirt to `virsh`, a refusal too; waits while the daemon is away. The question may be asked
 * again after it was heard: only for what does no harm twice.
 */
export async function ask(
  host: Asked,
  command: readonly string[],
  timeoutMs = awayMs,
): Promise<ExecResult> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await host.exec(['virsh', '-q', ...command], {
      timeoutMs: callMs,
      reject: false,
    });
    if (hasAnswered(answer)) return answer;
    if (performance.now() > end) {
      const what = `libvirt on ${host.name} to answer \`virsh ${command.join(' ')}\``;
      throw timedOut({ what, timeoutMs, host: host.name }, answer.stderr);
    }
    await delay(againMs);
  }
}

/** What `virsh` says there, trimmed; rejects if libvirt refuses. */
export async function told(host: Asked, ...command: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await ask(host, command);
  if (exitCode === 0) return stdout.trim();
  throw new Error(`virsh ${command.join(' ')} on ${host.name}: ${stderr}`);
}
