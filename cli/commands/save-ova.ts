/** `vmferry save-ova`: an OVA from a pipe, into the folder of a provider of this host. Works without Temporal and worker. */
import { Command } from 'commander';
import { needsOperator } from '../../domain/errors.ts';
import type { SavedOva } from '../../workers/save-ova.ts';
import { ExitCode } from '../exit-code.ts';
import { usageError } from '../fault.ts';
import { LiveView } from '../live-view.ts';
import { outputOption } from '../options.ts';
import { bytes, rate } from '../render/quantity.ts';
import { harmless, shellWord } from '../render/text.ts';
import type { Session } from '../session.ts';

const drawEveryMs = 250;
/** Where no view moves. */
const lineEveryMs = 30_000;

async function folderOf(session: Session, provider: string): Promise<string> {
  const { host } = await session.backend.loadConfig(session.globals);
  const providers = host?.providers ?? {};
  const found = Object.hasOwn(providers, provider) ? providers[provider] : undefined;
  if (found?.kind === 'ova') return found.folder;
  const folders = Object.entries(providers).filter(([, { kind }]) => kind === 'ova');
  const known = folders.map(([name]) => name).join(', ') || 'none';
  throw needsOperator({
    code: found === undefined ? 'provider-unknown' : 'provider-takes-no-ova',
    message:
      found === undefined
        ? `the configuration of this host names no provider ${provider}; of kind ova it has ${known}`
        : `the provider ${provider} is of kind ${found.kind}; of kind ova this host has ${known}`,
    remedy: 'Run this on the conversion host, and name one of `host.providers` of kind ova there.',
  });
}

/** How much came, and how fast it comes: drawn in place, or a line now and then. */
function showProgress(session: Session, file: string) {
  const { err } = session.terminal;
  const moves = err.isTTY && session.terminal.env['TERM'] !== 'dumb';
  const view = moves ? new LiveView(err) : undefined;
  const beganMs = performance.now();
  let doneBytes = 0;
  const line = (): string => {
    const seconds = Math.max(0.001, (performance.now() - beganMs) / 1000);
    return `${harmless(file)}: ${bytes(doneBytes)} came, ${rate(Math.round(doneBytes / seconds))}`;
  };
  const show = (): void => {
    if (view === undefined) session.remark([line()]);
    else view.draw([line()]);
  };
  const timer = setInterval(show, view === undefined ? lineEveryMs : drawEveryMs);
  return {
    took: (count: number): void => {
      doneBytes = count;
    },
    end: (): void => {
      clearInterval(timer);
      view?.end({ erase: true });
    },
  };
}

async function save(session: Session, file: string, { provider }: { provider: string }) {
  const { terminal } = session;
  const folder = await folderOf(session, provider);
  const from = terminal.input();
  if (from === undefined) {
    throw usageError(
      'nothing is piped in: this would read the OVA from the keyboard',
      `Pipe it in, as in: curl -fsS URL | ${session.command} save-ova ${shellWord(file)} --provider ${shellWord(provider)}`,
    );
  }
  const { saveOva } = await import('../../workers/save-ova.ts');
  const stop = new AbortController();
  const stopListening = terminal.onInterrupt((signal) => stop.abort(new Error(signal)));
  const progress = showProgress(session, file);
  try {
    const { signal } = stop;
    const saved = await saveOva({ folder, file, from, signal, onProgress: progress.took });
    progress.end();
    say(session, { provider, file }, saved);
  } catch (error) {
    progress.end();
    if (!stop.signal.aborted) throw error;
    session.remark([`Stopped; nothing of ${harmless(file)} was kept.`]);
    session.exitCode = ExitCode.cancelled;
  } finally {
    stopListening();
  }
}

function say(
  session: Session,
  { provider, file }: { provider: string; file: string },
  { path, sizeBytes, machines }: SavedOva,
): void {
  if (session.output === 'json') {
    session.printJson({
      ...{ provider, file, path, sizeBytes },
      vms: machines.map(({ id, ...machine }) => ({ id: `${file}#${id}`, ...machine })),
    });
    return;
  }
  const [only, ...others] = machines;
  const of = (disks: number): string => `${bytes(disks)} of disks`;
  session.print([
    `${harmless(path)}: ${bytes(sizeBytes)}, ${machines.length === 1 ? 'one machine' : `${machines.length} machines`}`,
    ...machines.map(
      ({ id, name, cpus, memoryBytes, diskBytes }) =>
        `  ${harmless(`${file}#${id}`)}  ${harmless(name)}, ${cpus} CPUs, ${bytes(memoryBytes)}, ${of(diskBytes)}`,
    ),
    `Next: ${session.command} inspect --provider ${shellWord(provider)} ${shellWord(others.length === 0 ? file : `${file}#${only?.id ?? ''}`)}`,
  ]);
}

/** `vmferry save-ova FILE --provider P` */
export const saveOvaCommand = (session: Session): Command =>
  new Command('save-ova')
    .summary('save an OVA that is piped in, where v2v finds it')
    .description(
      'Reads an OVA from standard input and puts it into the folder of a provider of this host, under its name once it is whole and can be read. What breaks off, is no OVA or finds no room leaves nothing behind. Its manifest is checked when it is imported.',
    )
    .argument('<file>', 'what it is to be called there, ending with .ova')
    .requiredOption('--provider <name>', 'of kind ova, in the configuration of this host')
    .addOption(outputOption())
    .action((file: string, options: { provider: string }) => save(session, file, options));
