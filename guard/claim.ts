import { copyFile, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { needsOperator, permanent } from '../domain/errors.ts';
import type { LedgerEntry } from '../domain/ownership.ts';
import type { Ledger } from './ledger.ts';

export interface ClaimOptions {
  ledger: Ledger;
  uuid: string;
  /** Who says so: kept in the audit file. */
  operator: string;
  /** How that person knows that no other copy runs. */
  reason: string;
  /** Only where the file is too damaged to tell its epoch: the highest one that any host knows of this VM. */
  knownEpoch?: number;
}

/**
 * A person's way out: this host owns the VM from now on, whatever move held it, at an epoch one higher, so that late
 * steps of that move are refused here. It proves nothing about other hosts: the person does. First the word is on
 * stable storage in `<stateDir>/audit.log` (a JSON object a line), then the ledger changes; a damaged ledger file is
 * kept as `<stateDir>/damaged/...`.
 *
 * Throws `vm-not-guarded` (permanent) if the ledger knows nothing of the VM, `claim-unsigned` (permanent) without
 * operator or reason, `ledger-corrupt` (needs an operator) if a damaged file does not tell its epoch.
 */
export async function claim(options: ClaimOptions): Promise<LedgerEntry> {
  const { ledger, operator, reason } = options;
  const uuid = options.uuid.toLowerCase();
  if (operator.trim() === '' || reason.trim() === '') {
    throw permanent({
      code: 'claim-unsigned',
      message: `a claim of VM ${uuid} needs a name and a reason`,
      remedy: 'Say who claims the VM, and how it is known that no other copy of it runs.',
      host: ledger.host,
    });
  }
  return ledger.overrule(uuid, `claim by ${operator}`, async (current, corrupt) => {
    const before = current ?? salvage({ ...options, uuid }, corrupt);
    const after: LedgerEntry = {
      ...before,
      epoch: before.epoch + 1,
      state: 'owner',
      migrationId: '',
      note: `claimed by ${operator}: ${reason}`,
    };
    await record(ledger, {
      at: new Date().toISOString(),
      what: 'claim',
      host: ledger.host,
      operator,
      reason,
      before: corrupt === undefined ? before : { ...before, state: 'unknown' },
      after,
    });
    if (corrupt !== undefined) await keepDamaged(ledger, uuid);
    return after;
  });
}

/** What a damaged file still tells: the VM's name and epoch; its disks are to be set by the next move. */
function salvage(options: ClaimOptions, corrupt: Buffer | undefined): LedgerEntry {
  const { ledger, uuid } = options;
  if (corrupt === undefined) {
    throw permanent({
      code: 'vm-not-guarded',
      message: `the ledger of ${ledger.host} knows nothing of VM ${uuid}`,
      remedy: 'There is nothing to claim: the guard does not keep this VM from starting here.',
      host: ledger.host,
    });
  }
  const text = corrupt.toString('latin1');
  const told = Number(/^epoch (\d{1,15})$/m.exec(text)?.[1] ?? '0');
  const epoch = Math.max(told, options.knownEpoch ?? 0);
  if (epoch < 1) {
    throw needsOperator({
      code: 'ledger-corrupt',
      message: `the ledger file of VM ${uuid} on ${ledger.host} is too damaged to tell its epoch`,
      remedy: 'Give the highest epoch that the other hosts know of this VM with the claim.',
      host: ledger.host,
    });
  }
  const name = /^name ([!-~][ -~]{0,200})$/m.exec(text)?.[1] ?? uuid;
  return { uuid, name, epoch, state: 'quarantined', migrationId: '', note: '', disks: [] };
}

async function keepDamaged(ledger: Ledger, uuid: string): Promise<void> {
  const folder = join(ledger.stateDir, 'damaged');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await copyFile(join(ledger.folder, uuid), join(folder, `${uuid}.${Date.now()}`));
}

async function record(ledger: Ledger, line: Record<string, unknown>): Promise<void> {
  const file = await open(join(ledger.stateDir, 'audit.log'), 'a', 0o600);
  try {
    await file.appendFile(`${JSON.stringify(line)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}
