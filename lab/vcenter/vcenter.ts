/** Starts the lab's vCenter and talks to it; it ends with the pipe to it, so that none outlives who started it. */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import { timedOut } from '../wait.ts';
import { ensureVcenterProgram } from './program.ts';

/** As in config.go; what is absent is Go's zero value. */
export interface VcenterDisk {
  /** Unique in the machine: 2000 and up. */
  key: number;
  sizeBytes: number;
  /** A file whose bytes are the disk's beginning; zeroes if absent. */
  file?: string;
  controller: 'scsi' | 'ide' | 'sata' | 'nvme';
  bus?: number;
  unit?: number;
  /** `persistent` if absent. */
  mode?: string;
  shared?: boolean;
  raw?: boolean;
  encrypted?: boolean;
  boot?: boolean;
  /** In place of the descriptor that is right. */
  descriptor?: string;
}

export interface VcenterVm {
  name: string;
  guestId: string;
  cpus: number;
  coresPerSocket: number;
  memoryMb: number;
  firmware: 'bios' | 'efi';
  secureBoot?: boolean;
  tpm?: boolean;
  running?: boolean;
  noTools?: boolean;
  /** `[LocalDS_0] iso/x.iso`; an empty drive if absent. */
  iso?: string;
  /** A PCI address. */
  passthrough?: string;
  disks: VcenterDisk[];
  /** In the order of the cards. */
  nics: { mac: string; model: 'vmxnet3' | 'e1000'; distributed?: boolean }[];
  guest?: {
    mac: string;
    addresses: string[];
    prefix: number;
    origin: string;
    gateway?: string;
    dns?: string[];
    search?: string[];
  }[];
}

export interface VcenterOptions {
  /** Machines without bytes, called `DC0_C0_RP0_VM<n>`. */
  machines?: number;
  vms?: VcenterVm[];
  /** A lease of NFC that nobody speaks of ends after so long; 300 if absent. */
  leaseSeconds?: number;
  /** /folder refuses everybody. */
  noFolder?: boolean;
  /** Building an inventory takes about a minute for 5,000 machines on a busy computer. */
  startLimitMs?: number;
}

/** A line of standard input, as in control.go. */
export type VcenterCommand =
  | { op: 'expire' }
  | { op: 'power'; vm: string; on: boolean }
  | { op: 'remove'; vm: string }
  | { op: 'write'; vm: string; key: number; offset: number; bytes: string }
  | { op: 'delay'; method: string; ms: number }
  | { op: 'folder-delay'; ms: number }
  | { op: 'folder-fault'; status: number; times: number }
  | { op: 'folder-cut'; offset: number }
  /** From now on; what is absent is as it should be. */
  | {
      op: 'nfc';
      /** Disks come from an ESXi of its own, with another certificate. */
      on?: boolean;
      /** In place of that of the ESXi. */
      thumbprint?: string;
      /** The lie in streams (stream.go). */
      spoil?: string;
      /** Until a lease is ready. */
      ms?: number;
      /** What leases fail with. */
      fault?: string;
    }
  /** Every login may speak of the leases of all others. */
  | { op: 'nfc-shared'; on: boolean }
  /** The next stream breaks off there, once. */
  | { op: 'nfc-cut'; offset: number }
  /** Streams stop there until the next such command; 0 lets them go on. */
  | { op: 'nfc-hold'; offset: number }
  /** Every lease has run out. */
  | { op: 'nfc-expire' };

const statsSchema = z.object({
  /** Logged in now. */
  sessions: z.number(),
  /** SOAP calls by method. */
  calls: z.record(z.string(), z.number()),
  folderRequests: z.number(),
  /** Most requests to /folder at once. */
  folderMost: z.number(),
  snapshots: z.number(),
  /** Of NFC: those that live, all that were given, and how they ended. */
  leases: z.number(),
  leasesMade: z.number(),
  completed: z.number(),
  aborted: z.number(),
  timedOut: z.number(),
  /** Disks that were asked for by NFC. */
  streams: z.number(),
});
export type VcenterStats = z.infer<typeof statsSchema>;

const readySchema = z.object({ ready: z.literal(true), port: z.number(), certificate: z.string() });
const answerSchema = z.union([
  z.object({ ok: z.literal(true) }),
  z.object({ error: z.string() }),
  statsSchema,
]);

const answerLimitMs = 30_000;
const stopLimitMs = 10_000;

/** Rejects with `lab-vcenter-unavailable`, `lab-timeout`, or what the program complained of. */
export async function startVcenter(options: VcenterOptions = {}): Promise<Vcenter> {
  const program = await ensureVcenterProgram();
  const child = spawn(program, [], { stdio: ['pipe', 'pipe', 'pipe'] });
  const vcenter = new Vcenter(child);
  try {
    await vcenter.begin(options);
    return vcenter;
  } catch (error) {
    await vcenter.close();
    throw error;
  }
}

export class Vcenter implements AsyncDisposable {
  readonly username = 'administrator@vsphere.local';
  readonly password = 'not-a-secret-1';
  /** PEM; vouches for itself. */
  certificate = '';
  port = 0;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #answers: AsyncIterator<string, undefined>;
  readonly #ended: Promise<unknown>;
  #complaints = '';
  #turn: Promise<unknown> = Promise.resolve();

  constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#ended = once(child, 'exit');
    // Told by the answer that does not come.
    child.stdin.on('error', () => undefined);
    child.stderr.on('data', (chunk: Buffer) => {
      this.#complaints = `${this.#complaints}${chunk.toString()}`.slice(-4_000);
    });
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Upper-case hex with colons. */
  get thumbprintSha256(): string {
    return new X509Certificate(this.certificate).fingerprint256;
  }

  /** As vCenter's own pages show it. */
  get thumbprintSha1(): string {
    return new X509Certificate(this.certificate).fingerprint;
  }

  /** Its first words and its first answer. */
  async begin(options: VcenterOptions): Promise<void> {
    const { startLimitMs = 60_000, ...config } = options;
    const { username: user, password } = this;
    const line = await this.#ask({ user, password, ...config }, startLimitMs);
    const ready = readySchema.parse(JSON.parse(line));
    this.port = ready.port;
    this.certificate = ready.certificate;
  }

  /** Resolves once it is so. Rejects with what it says against it. */
  async command(command: VcenterCommand): Promise<void> {
    const answer = answerSchema.parse(JSON.parse(await this.#ask(command, answerLimitMs)));
    if ('error' in answer) throw new Error(`the lab vCenter: ${answer.error}`);
  }

  async stats(): Promise<VcenterStats> {
    return statsSchema.parse(JSON.parse(await this.#ask({ op: 'stats' }, answerLimitMs)));
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), stopLimitMs);
    await this.#ended;
    clearTimeout(late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** One question at a time: answers come in the order of the questions. */
  #ask(question: unknown, limitMs: number): Promise<string> {
    const asking = this.#turn.then(async () => {
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(timedOut({ what: 'the lab vCenter', timeoutMs: limitMs })),
          limitMs,
        );
      });
      try {
        const next: IteratorResult<string, undefined> = await Promise.race([
          this.#answers.next(),
          late,
        ]);
        if (next.done === true) throw new Error(`the lab vCenter ended: ${this.#complaints}`);
        return next.value;
      } finally {
        clearTimeout(timer);
      }
    });
    this.#turn = asking.catch(() => undefined);
    return asking;
  }
}
