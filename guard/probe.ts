import { randomBytes, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LedgerEntry } from '../domain/ownership.ts';
import type { Ledger } from './ledger.ts';

export interface ProbeOptions {
  ledger: Ledger;
  /** What the host's libvirt can run; see `probeDomainXml`. */
  domain: ProbeDomain;
  /** Asks libvirt to create a transient domain from this XML, paused. Rejects with libvirt's own words. */
  createDomain: (xml: string) => Promise<unknown>;
  /** Ends that domain, should it have started. */
  destroyDomain: (uuid: string) => Promise<unknown>;
  /** How long libvirt may take to refuse, ms. */
  timeoutMs?: number;
}

export interface ProbeDomain {
  type: 'kvm' | 'qemu';
  emulator?: string;
  machine?: string;
}

/** Whether libvirt refused a start through our hook just now, and how that was seen. */
export interface ProbeResult {
  live: boolean;
  detail: string;
}

/** All probes carry it in the ledger, so that the left-over of a killed worker is known for what it is. */
const probeMigration = 'vmferry-probe';
/** An older probe than this has no living asker. */
const staleAfterMs = 600_000;

/**
 * Proves that the hook is live: quarantines a VM that does not exist, asks libvirt to start it, and takes only a
 * refusal that carries the entry's random nonce for a proof. Whatever comes, the entry is gone afterwards and the
 * domain, if one came up, is ended. Throws only what the ledger throws.
 */
export async function probeHook(options: ProbeOptions): Promise<ProbeResult> {
  const { ledger } = options;
  await removeStaleProbes(ledger);
  const uuid = randomUUID();
  const nonce = randomBytes(12).toString('hex');
  const entry = await ledger.transition(uuid, {
    to: 'quarantined',
    // The time of its birth, so that a later probe can tell a left-over from one that still runs.
    epoch: Date.now(),
    migrationId: probeMigration,
    name: `vmferry-probe-${uuid}`,
    note: `a probe of the hook, nonce ${nonce}`,
    disks: [],
  });
  try {
    return await ask(options, uuid, nonce);
  } finally {
    await forget(ledger, entry);
  }
}

/** A diskless domain that any host can start in no time. `type` has to be one that the host offers. */
export function probeDomainXml(uuid: string, domain: ProbeDomain): string {
  const text = (value: string) =>
    value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll("'", '&apos;');
  const machine = domain.machine === undefined ? '' : ` machine='${text(domain.machine)}'`;
  const emulator =
    domain.emulator === undefined ? '' : `<emulator>${text(domain.emulator)}</emulator>`;
  return `<domain type='${domain.type}'>
  <name>vmferry-probe-${uuid}</name>
  <uuid>${uuid}</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type${machine}>hvm</type></os>
  <devices>${emulator}<controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>
`;
}

type Answer = { how: 'started' } | { how: 'silent' } | { how: 'refused'; words: string };

async function ask(options: ProbeOptions, uuid: string, nonce: string): Promise<ProbeResult> {
  const timeoutMs = options.timeoutMs ?? 20_000;
  const answer = await answerWithin(
    options.createDomain(probeDomainXml(uuid, options.domain)),
    timeoutMs,
  );
  if (answer.how === 'refused') {
    return answer.words.includes(nonce)
      ? { live: true, detail: 'libvirt refused a probe domain through the hook' }
      : {
          live: false,
          detail: `libvirt failed a probe domain, but not through the hook: ${answer.words}`,
        };
  }
  const ended = await answerWithin(options.destroyDomain(uuid), timeoutMs);
  if (answer.how === 'silent') {
    return {
      live: false,
      detail: `libvirt did not answer within ${timeoutMs} ms when a probe domain was started`,
    };
  }
  const left =
    ended.how === 'started' ? 'it was ended again' : `and could not be ended: see domain ${uuid}`;
  return { live: false, detail: `libvirt started a probe domain that the ledger forbids; ${left}` };
}

async function answerWithin(request: Promise<unknown>, timeoutMs: number): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<Answer>((resolve) => {
    timer = setTimeout(() => resolve({ how: 'silent' }), timeoutMs);
  });
  const answered = request.then(
    (): Answer => ({ how: 'started' }),
    (error: unknown): Answer => ({ how: 'refused', words: allWords(error) }),
  );
  try {
    return await Promise.race([answered, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** The messages of an error and of its causes: a mapped error may keep libvirt's words in its cause only. */
function allWords(error: unknown): string {
  const words: string[] = [];
  let link = error;
  for (let depth = 0; depth < 8 && link !== undefined; depth++) {
    words.push(link instanceof Error ? link.message : JSON.stringify(link));
    link = link instanceof Error ? link.cause : undefined;
  }
  return words.join(': ').slice(0, 4000);
}

async function removeStaleProbes(ledger: Ledger): Promise<void> {
  const isStale = (entry: LedgerEntry) =>
    entry.migrationId === probeMigration &&
    entry.state === 'quarantined' &&
    Date.now() - entry.epoch > staleAfterMs;
  for (const entry of (await ledger.list()).entries.filter(isStale)) {
    await forget(ledger, entry);
  }
}

/** The entry and its lock's file: a probe's UUID is never used again, so a file a probe would pile up for ever. */
async function forget(ledger: Ledger, entry: LedgerEntry): Promise<void> {
  await ledger.remove(entry.uuid, entry);
  await rm(join(ledger.stateDir, 'locks', entry.uuid), { force: true });
}
