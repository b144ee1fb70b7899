/**
 * An independent witness of a move: it asks neither vmferry nor libvirt but looks at the machine's processes, on all
 * hosts of the lab at once, from before the move to after it.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { identify, namespaceOf } from '../../lab/processes.ts';

/** Often enough to see a second copy that lives for the length of a guest's firmware. */
const everyMs = 50;
/** Four seconds: no shell or fork of libvirtd waits so long before it becomes what it was started for. */
const settledAfterLooks = 80;

/** A process that counts, as the witness saw it. */
interface Seen {
  pid: number;
  /** Inode of its network namespace, which tells the host. */
  netns: number;
}

/** What was seen from `watch` to `end`. */
interface Testimony {
  /** How often it looked. */
  samples: number;
  /** Most QEMU processes of the VM at one time; 1 is as it should be, 0 means that it never ran. */
  mostRunning: number;
  /** Those that ran at that time. */
  whenMost: Seen[];
  /** Those that ran at the last look. */
  runningNow: Seen[];
  /** Network namespaces in which the VM ran at any time, in order. */
  ranIn: number[];
  /** Most `qemu-nbd` processes at one time of each export of vmferry's, by its name; other labs' too. */
  exports: Map<string, number>;
}

interface Known {
  argv: string[];
  /** At how many looks it was the same. */
  looks: number;
}

const argumentsOf = (pid: number): string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // It ended between the list and the look.
    return [];
  }
};

export class Witness {
  readonly #uuid: string;
  readonly #timer: NodeJS.Timeout;
  /** By pid. A process may be a fork that becomes QEMU soon, so its arguments are read again for its first seconds. */
  #known = new Map<string, Known>();
  readonly #testimony: Testimony = {
    samples: 0,
    mostRunning: 0,
    whenMost: [],
    runningNow: [],
    ranIn: [],
    exports: new Map(),
  };

  private constructor(uuid: string) {
    this.#uuid = uuid;
    this.#look();
    this.#timer = setInterval(() => this.#look(), everyMs);
  }

  /** Looks on until `end`. */
  static watch(uuid: string): Witness {
    return new Witness(uuid);
  }

  /** The last look, and all that was seen. */
  end(): Testimony {
    clearInterval(this.#timer);
    this.#look();
    return this.#testimony;
  }

  #look(): void {
    const told = this.#testimony;
    const qemus: Seen[] = [];
    const servers = new Map<string, number>();
    for (const { pid, argv } of this.#processes()) {
      if (runs(argv, this.#uuid)) {
        const netns = namespaceOf(pid, 'net');
        // A process that has given its namespaces up is past its last instruction.
        if (netns !== undefined) qemus.push({ pid, netns });
      }
      const name = exportOf(argv);
      if (name !== undefined) servers.set(name, (servers.get(name) ?? 0) + 1);
    }
    told.samples += 1;
    told.runningNow = qemus;
    if (qemus.length > told.mostRunning) {
      told.mostRunning = qemus.length;
      told.whenMost = qemus;
    }
    for (const { netns } of qemus) if (!told.ranIn.includes(netns)) told.ranIn.push(netns);
    for (const [name, count] of servers) {
      told.exports.set(name, Math.max(count, told.exports.get(name) ?? 0));
    }
  }

  #processes(): { pid: number; argv: string[] }[] {
    const known = new Map<string, Known>();
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const before = this.#known.get(entry) ?? { argv: [], looks: 0 };
      const argv = before.looks < settledAfterLooks ? argumentsOf(Number(entry)) : before.argv;
      known.set(entry, { argv, looks: before.looks + 1 });
    }
    this.#known = known;
    return [...known]
      .filter(([, { argv }]) => counts(argv))
      .map(([entry, { argv }]) => ({ pid: Number(entry), argv }))
      .filter(({ pid }) => identify(pid) !== undefined);
  }
}

const programOf = (argv: readonly string[]): string => argv[0]?.split('/').at(-1) ?? '';

const counts = (argv: readonly string[]): boolean => /^qemu-(system|nbd)/.test(programOf(argv));

const runs = (argv: readonly string[], uuid: string): boolean =>
  programOf(argv).startsWith('qemu-system') && argv.includes(uuid);

/** The name of the export that a process serves over the network; undefined if it serves none of vmferry's. */
function exportOf(argv: readonly string[]): string | undefined {
  if (programOf(argv) !== 'qemu-nbd') return undefined;
  return argv.find((argument) => argument.startsWith('vmferry:'));
}

/** Every `qemu-nbd` in one of these network namespaces, with its arguments. */
export function diskServersIn(namespaces: readonly number[]): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => identify(pid) !== undefined)
    .flatMap((pid) => {
      const argv = argumentsOf(pid);
      if (programOf(argv) !== 'qemu-nbd') return [];
      return namespaces.includes(namespaceOf(pid, 'net') ?? -1)
        ? [`${pid}: ${argv.join(' ')}`]
        : [];
    });
}
