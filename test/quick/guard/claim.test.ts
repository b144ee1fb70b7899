import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { claim } from '../../../guard/claim.ts';
import { domainXml, runHook, writeHook } from './hook-run.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const word = { operator: 'ada', reason: 'beta burnt down' };

describe('claim', () => {
  it('makes this host the owner, one epoch on, so that the VM starts and late steps are refused', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    const disks = [{ path: '/images/web.raw', identity: '1:2:3' }];
    await ledger.transition(uuid, to('migrating-out', { epoch: 4, disks }));
    const entry = await claim({ ledger, uuid, ...word });
    expect(entry).toMatchObject({ state: 'owner', epoch: 5, migrationId: '', disks });
    expect(runHook(await writeHook(ledger.stateDir), domainXml(uuid)).status).toBe(0);
    await expect(ledger.transition(uuid, to('released', { epoch: 4 }))).rejects.toMatchObject({
      code: 'stale-epoch',
    });
  });

  it('keeps who said so and why', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to('released', { epoch: 2 }));
    await claim({ ledger, uuid: uuid.toUpperCase(), ...word });
    const line = readFileSync(join(ledger.stateDir, 'audit.log'), 'utf8').trim();
    expect(JSON.parse(line)).toMatchObject({
      what: 'claim',
      host: 'alpha',
      ...word,
      before: { uuid, state: 'released', epoch: 2 },
      after: { uuid, state: 'owner', epoch: 3 },
    });
  });

  it('mends a damaged file and keeps it', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to('released', { epoch: 6 }));
    const damaged = readFileSync(join(ledger.folder, uuid)).subarray(0, 90);
    writeFileSync(join(ledger.folder, uuid), damaged);
    expect(await claim({ ledger, uuid, ...word })).toMatchObject({ epoch: 7, name: 'web' });
    expect(await ledger.read(uuid)).toMatchObject({ state: 'owner', epoch: 7 });
    const [kept] = readdirSync(join(ledger.stateDir, 'damaged'));
    expect(readFileSync(join(ledger.stateDir, 'damaged', kept!))).toEqual(damaged);
  });

  it('asks for the epoch when a damaged file does not tell it', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to('released'));
    writeFileSync(join(ledger.folder, uuid), '');
    await expect(claim({ ledger, uuid, ...word })).rejects.toMatchObject({
      code: 'ledger-corrupt',
    });
    expect(await claim({ ledger, uuid, ...word, knownEpoch: 9 })).toMatchObject({ epoch: 10 });
  });

  it('does nothing for a VM that is not guarded, or without a name and a reason', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await expect(claim({ ledger, uuid, ...word })).rejects.toMatchObject({
      code: 'vm-not-guarded',
    });
    const before = await ledger.transition(uuid, to('released'));
    await expect(claim({ ledger, uuid, ...word, reason: ' ' })).rejects.toMatchObject({
      code: 'claim-unsigned',
    });
    expect(await ledger.read(uuid)).toEqual(before);
  });
});
