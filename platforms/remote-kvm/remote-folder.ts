/**
 * A private folder on the host for sockets, and a watch that ends what was started in it once we are gone: a shell
 * whose input is our channel. Neither sshd nor qemu-nbd ends anything when a connection is cut.
 */
import { needsOperator, transient } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import { commandLine } from '../../protocols/ssh/index.ts';
import type { RemoteCommand } from '../../protocols/ssh/index.ts';
import type { RemoteHost } from './reach.ts';

/** How often the watch is told that we live, and how long it waits for that: a cut network closes no channel. */
const beatMs = 20_000;
const silenceS = 90;
const openTimeoutMs = 30_000;
const closeTimeoutMs = 10_000;

/**
 * Ends every process whose number lies in a `*.pid` of the folder `$1`, if it is still one that names the folder, and
 * every backup that a `*.backup` names (URI, UUID, socket), and removes the folder. It is renamed first: what is about
 * to start in it fails then, and cannot be overlooked.
 */
export const endScript = `
end_folder() {
  mv -- "$1" "$1.gone" 2>/dev/null || [ -d "$1.gone" ] || return 0
  for f in "$1.gone"/*.pid; do
    [ -f "$f" ] && read -r p <"$f" || continue
    case $p in ''|*[!0-9]*) continue ;; esac
    tr '\\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -qF -- "$1/" && kill "$p" 2>/dev/null
  done
  for f in "$1.gone"/*.backup; do
    [ -f "$f" ] && { read -r uri && read -r dom && read -r sock; } <"$f" || continue
    virsh -c "$uri" backup-dumpxml "$dom" 2>/dev/null | grep -qF -- "$sock" &&
      virsh -c "$uri" domjobabort "$dom" >/dev/null 2>&1
  done
  rm -rf -- "$1.gone"
}`;

const watchScript = `${endScript}
umask 077
d=$(mktemp -d "$1/vmferry-$2-XXXXXXXXXX") || exit 1
trap 'end_folder "$d"' EXIT
trap 'exit 1' HUP INT TERM
echo "$d"
limit="timeout ${silenceS}"
command -v timeout >/dev/null 2>&1 || limit=
while b=$($limit dd bs=1 count=1 2>/dev/null) && [ "$b" = . ]; do :; done`;

export class RemoteFolder {
  readonly path: string;
  readonly #watch: RemoteCommand;
  readonly #beat: NodeJS.Timeout;

  private constructor(path: string, watch: RemoteCommand) {
    this.path = path;
    this.#watch = watch;
    this.#beat = setInterval(() => watch.write('.'), beatMs);
    this.#beat.unref();
    void watch.ended.then(() => clearInterval(this.#beat));
  }

  /** Makes it. Throws `remote-folder-failed`, `remote-folder-slow`. */
  static async open(
    host: RemoteHost,
    { base, label }: { base: string; label: string },
  ): Promise<RemoteFolder> {
    const watch = await host.start(
      commandLine(['exec', 'sh', '-c', watchScript, 'sh', base, label]),
    );
    watch.on('error', () => undefined);
    const path = await firstLine(watch);
    if (path === undefined) throw slow(host.name);
    const isOurs = path.startsWith(`${base}/vmferry-${label}-`) && !path.includes('\0');
    if (isOurs) return new RemoteFolder(path, watch);
    watch.destroy();
    const { stderr } = await watch.ended;
    throw failed(host.name, { base, why: stderr.trim().slice(0, 300) });
  }

  /** Whether the watch is gone, and the folder with it. */
  get isLost(): boolean {
    return this.#watch.destroyed || this.#watch.writableEnded;
  }

  /** Ends what was started in it and removes it; resolves once that is done, in 10 s at most. */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    if (!this.#watch.destroyed) this.#watch.end();
    const limit = setTimeout(() => this.#watch.destroy(), closeTimeoutMs);
    await this.#watch.ended;
    clearTimeout(limit);
  }
}

/** The first line of its output; empty if it ended before, undefined if it took too long. Then the rest is dropped. */
async function firstLine(command: RemoteCommand): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let text = '';
  const onData = (chunk: Buffer): void => {
    text += chunk.toString();
    if (text.includes('\n') || text.length > 4096) resolve(text.split('\n', 1)[0] ?? '');
  };
  command.on('data', onData).once('end', () => resolve(''));
  const limit = setTimeout(() => {
    resolve(undefined);
    command.destroy();
  }, openTimeoutMs);
  const line = await promise;
  clearTimeout(limit);
  command.off('data', onData).resume();
  return line;
}

const failed = (host: string, { base, why }: { base: string; why: string }): VmFerryError =>
  needsOperator({
    code: 'remote-folder-failed',
    message: `no folder could be made in ${base} on ${host}: ${why === '' ? 'it did not say why' : why}`,
    remedy: `Let the user of this provider write in ${base}, and give it a POSIX shell as login shell.`,
    host,
  });

const slow = (host: string): VmFerryError =>
  transient({
    code: 'remote-folder-slow',
    message: `the shell on ${host} did not answer within ${openTimeoutMs / 1000} s`,
    remedy: 'It is tried again. See what the start-up files of that user do (~/.bashrc).',
    host,
  });
