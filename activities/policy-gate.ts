/**
 * Every verb of a host passes here on its way in: the host's own policy is asked whatever Temporal wants, what a move
 * is gets remembered when it is let in, and the reconciler learns which moves are being worked on.
 *
 *   checkSource, checkTarget    policy -> critical concern, or let in: `move.json` in the move's folder
 *   verbs of a move let in      policy with what was remembered -> `policy-denied`, which undoes the move
 *   verbs that undo or end      never refused to a move that was let in
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { Concern } from '../domain/concerns.ts';
import { blocks } from '../domain/concerns.ts';
import { permanent } from '../domain/errors.ts';
import type { ChainPolicy } from '../domain/move.ts';
import type { MoveMemory, ServerIdentity } from '../domain/orphans.ts';
import { denials } from '../domain/policy.ts';
import type { Policy, PolicyAct, PolicyDisk, PolicyVerb } from '../domain/policy.ts';
import type {
  CheckSourceInput,
  CheckTargetInput,
  DiskPlan,
  MoveRef,
  SourceCheck,
  TargetCheck,
} from './contract.ts';
import type { CheckImportTargetInput, ImportTargetCheck } from './import/contract.ts';
import { folderOf } from './ours.ts';
import type { HostParts } from './parts.ts';
import { brokenConcern, brokenError, deniedConcerns, deniedError } from './policy-denied.ts';
import type { PolicySource } from './policy-denied.ts';
import { powerOffByPolicy } from './policy-force.ts';
import { forgetIfAlone, readMoveMemory, rememberMove } from './policy-memory.ts';

/** They give back, close or finish what a move began; a host that refused them would be stuck with it. */
const neverRefused = new Set([
  ...['closeExports', 'clearTarget', 'restoreSource', 'settleTarget'],
  'clearImport',
]);
/** They look at a live move or end what it left: no policy may keep a host from that, and the ledger is asked anyway. */
const alwaysServed = new Set([
  ...['liveView', 'endLive', 'withdrawLive', 'settleLive'],
  ...['awaitArrival', 'settleArrival'],
]);
/** Without the memory of the check only the verb tells which side this host is. */
const sourceVerbs = new Set([
  ...['guardSource', 'ensureStopped', 'ensureExport', 'offerState'],
  ...['moveLive', 'tuneLive'],
]);
const lateSourceVerbs = new Set(['releaseSource', 'removeSource']);

/** What verbs may carry beside the move; the contract says which does. */
interface VerbInput extends MoveRef {
  source?: unknown;
  target?: unknown;
  side?: 'source' | 'target';
  disk?: DiskPlan;
  disks?: DiskPlan[];
}

export interface GateOptions {
  parts: HostParts;
  policy: PolicySource;
  /** The server that the worker is connected to, as last seen. */
  server: () => ServerIdentity;
}

export class Gate {
  readonly #parts: HostParts;
  readonly #policy: PolicySource;
  readonly #server: () => ServerIdentity;
  readonly #atWork = new Map<string, number>();

  constructor({ parts, policy, server }: GateOptions) {
    this.#parts = parts;
    this.#policy = policy;
    this.#server = server;
  }

  /** Whether a verb of the move runs in this process now. */
  isAtWork(migrationId: string): boolean {
    return this.#atWork.has(migrationId);
  }

  /** The lower of the host's cap and the policy's ceiling, bytes a second; 0 is none. */
  async bandwidth(hostBytesPerSecond: number): Promise<number> {
    const now = await this.#policy.current();
    const caps = [
      hostBytesPerSecond,
      now.state === 'read' ? now.policy.bandwidthBytesPerSecond : 0,
    ].filter((cap) => cap > 0);
    return caps.length === 0 ? 0 : Math.min(...caps);
  }

  /** For the verb that shuts a guest down: powering it off is the policy's matter, and shows only on the way. */
  partsToStop(): HostParts {
    return powerOffByPolicy(this.#parts, this.#policy);
  }

  /** Runs a verb if the policy lets it. Throws `policy-denied`, and for something new `policy-broken`. */
  async through<O>(verb: string, input: unknown, act: () => Promise<O>): Promise<O> {
    if (!isMoveRef(input)) return act();
    const { migrationId } = input;
    this.#atWork.set(migrationId, (this.#atWork.get(migrationId) ?? 0) + 1);
    try {
      if (verb === 'checkSource')
        return (await this.#checkSource(input as CheckSourceInput & { target: string }, act)) as O;
      if (verb === 'checkTarget')
        return (await this.#checkTarget(input as CheckTargetInput, act)) as O;
      if (verb === 'checkImportTarget')
        return (await this.#checkImport(input as CheckImportTargetInput, act)) as O;
      if (!neverRefused.has(verb) && !alwaysServed.has(verb)) await this.#admit(verb, input);
      const result = await act();
      if (neverRefused.has(verb)) await forgetIfAlone(folderOf(this.#parts, input));
      return result;
    } finally {
      const others = (this.#atWork.get(migrationId) ?? 1) - 1;
      if (others === 0) this.#atWork.delete(migrationId);
      else this.#atWork.set(migrationId, others);
    }
  }

  /** Refuses a person's order that no move carries. */
  async admitOrder(verb: PolicyVerb, operator: string): Promise<void> {
    await this.#refuse({ verbs: [verb], operator }, { letIn: false });
  }

  async #checkSource(
    input: CheckSourceInput & { target: string },
    act: () => Promise<unknown>,
  ): Promise<SourceCheck> {
    const { request, target, vm } = input;
    const verbs: PolicyVerb[] = ['move-away', 'remove-source'];
    if (request.shutdown === 'force') verbs.push('force-off');
    const { operator } = request;
    const disks = await this.#sourceDisks(vm.uuid, request.chain);
    const concerns = await this.#concerns({ verbs, peer: target, operator, disks });
    if (concerns.length > 0) {
      // Newer fields of a check that says no are of no use to anybody.
      const nothing = { nonces: [], migrationAddress: '' };
      const nowhere = { address: '', port: 0, exportName: '', serverName: '' };
      const refused = { concerns, guardLive: false, hostUuid: '', definitionHash: '' };
      const facts = await this.#parts.hypervisor.inspect(vm.uuid);
      return { vm: facts, ...refused, definition: nowhere, ...nothing };
    }
    const memory = { role: 'source', peer: target, operator } as const;
    return this.#letIn(input, memory, act as () => Promise<SourceCheck>);
  }

  /**
   * The VM's disks, where a rule asks for them: the check itself will read them once more. In a chain that is kept each
   * image is shown to the target by itself; in which pool the lower ones lie nobody says.
   */
  async #sourceDisks(uuid: string, chain: ChainPolicy = 'flatten'): Promise<PolicyDisk[]> {
    const now = await this.#policy.current();
    if (now.state === 'broken') return [];
    if (now.policy.pools === undefined && now.policy.paths === undefined) return [];
    const { disks } = await this.#parts.hypervisor.inspect(uuid);
    return disks
      .filter(({ device, path }) => (device === 'disk' || device === 'lun') && path !== '')
      .flatMap(({ path, pool, backing }) => [
        { path, pool: pool ?? '' },
        ...(chain === 'keep' ? backing.map((below) => ({ path: below })) : []),
      ]);
  }

  async #checkTarget(input: CheckTargetInput, act: () => Promise<unknown>): Promise<TargetCheck> {
    const { from: peer, operator } = input.request;
    const early = await this.#concerns({ verbs: ['move-here'], peer, operator });
    if (early.length > 0) return { concerns: early, guardLive: false, disks: [] };
    return this.#letIn(input, { role: 'target', peer, operator }, async () => {
      const check = await (act as () => Promise<TargetCheck>)();
      // Where the disks are to lie is known only now; nothing was made yet but the copy of the definition.
      const disks = check.disks.map(({ targetPool, targetPath }) => ({
        path: targetPath,
        pool: targetPool,
      }));
      const late = await this.#concerns({ verbs: [], disks });
      return late.length === 0 ? check : { ...check, concerns: [...check.concerns, ...late] };
    });
  }

  /** A VM from a foreign platform: the conversion host is the other side, and shows its disks. */
  async #checkImport(
    input: CheckImportTargetInput,
    act: () => Promise<unknown>,
  ): Promise<ImportTargetCheck> {
    const { conversionHost: peer, operator } = input.request;
    const early = await this.#concerns({ verbs: ['move-here'], peer, operator });
    if (early.length > 0) return { concerns: early, guardLive: false };
    return this.#letIn(input, { role: 'target', peer, operator }, async () => {
      const check = await (act as () => Promise<ImportTargetCheck>)();
      const disks = (check.plan?.disks ?? []).map(({ targetPool, targetPath }) => ({
        path: targetPath,
        pool: targetPool,
      }));
      const late = await this.#concerns({ verbs: [], disks });
      return late.length === 0 ? check : { ...check, concerns: [...check.concerns, ...late] };
    });
  }

  /** Remembers the move, runs its check, and forgets it again if the check says no. */
  async #letIn<C extends { concerns: Concern[] }>(
    ref: MoveRef,
    as: Pick<MoveMemory, 'role' | 'peer' | 'operator'>,
    act: () => Promise<C>,
  ): Promise<C> {
    const { moveId, migrationId, vm } = ref;
    const folder = folderOf(this.#parts, ref);
    const firstSeenAt = new Date().toISOString();
    const server = this.#server();
    await rememberMove(folder, { moveId, migrationId, vm, ...as, server, firstSeenAt });
    const check = await act();
    if (!blocks(check.concerns)) return check;
    if (as.role === 'target' && (await folder.read('target')) === undefined) await folder.remove();
    else await forgetIfAlone(folder);
    return check;
  }

  async #admit(verb: string, input: VerbInput): Promise<void> {
    const memory = await readMoveMemory(folderOf(this.#parts, input));
    const letIn = memory !== undefined || (await this.#isKnown(input));
    // It takes a VM from this host: only a move that this host knows may do that, but to such a move it is an undo.
    if (verb === 'revokeTarget' && letIn) return;
    const role = memory?.role ?? roleBy(verb, input);
    const peerAsked = role === 'source' ? input.target : input.source;
    const known = memory?.peer === '' ? undefined : memory?.peer;
    const peer = known ?? (typeof peerAsked === 'string' ? peerAsked : undefined);
    if (typeof peerAsked === 'string' && peer !== undefined && peerAsked !== peer)
      throw this.#otherPeer(input, peer, peerAsked);
    const operator = memory?.operator ?? '';
    const act: PolicyAct = {
      verbs: verbsOf(verb, role),
      disks: disksOf(input, role),
      ...(peer === undefined ? {} : { peer }),
      // Moves that began before there was a memory of them carry no operator; they were let in then.
      ...(letIn && operator === '' ? {} : { operator }),
    };
    await this.#refuse(act, { letIn, park: verb === 'removeSource' });
    if (memory === undefined) await this.#rememberLate(input, { role, peer: peer ?? '' });
  }

  /** A move of an older version: from now on the host knows which one its folder is. */
  async #rememberLate(ref: MoveRef, as: Pick<MoveMemory, 'role' | 'peer'>): Promise<void> {
    const folder = folderOf(this.#parts, ref);
    if ((await folder.read('source')) === undefined && (await folder.read('target')) === undefined)
      return;
    const { moveId, migrationId, vm } = ref;
    const server = this.#server();
    const firstSeenAt = new Date().toISOString();
    const operator = '';
    await rememberMove(folder, { moveId, migrationId, vm, ...as, operator, server, firstSeenAt });
  }

  /** A move of an older version, or one whose memory is damaged, has left other traces. */
  async #isKnown(ref: MoveRef): Promise<boolean> {
    const folder = folderOf(this.#parts, ref);
    if ((await folder.read('source')) !== undefined) return true;
    if ((await folder.read('target')) !== undefined) return true;
    const entry = await this.#parts.ledger.read(ref.vm.uuid).catch(() => undefined);
    return entry?.migrationId === ref.migrationId;
  }

  async #concerns(act: PolicyAct): Promise<Concern[]> {
    const now = await this.#policy.current();
    const { name } = this.#parts;
    if (now.state === 'broken') return [brokenConcern(name, now)];
    return deniedConcerns(name, now.policy, await this.#judge(now.policy, act));
  }

  async #refuse(act: PolicyAct, { letIn, park = false }: { letIn: boolean; park?: boolean }) {
    const now = await this.#policy.current();
    const { name } = this.#parts;
    if (now.state === 'broken') {
      if (letIn) return;
      throw brokenError(name, now);
    }
    const [first, ...others] = await this.#judge(now.policy, act);
    if (first !== undefined) throw deniedError(name, now.policy, [first, ...others], { park });
  }

  async #judge(policy: Policy, act: PolicyAct) {
    if (policy.paths === undefined) return denials(policy, act);
    const [paths, disks] = await Promise.all([
      Promise.all(policy.paths.map(resolved)),
      Promise.all((act.disks ?? []).map(async (d) => ({ ...d, path: await resolved(d.path) }))),
    ]);
    return denials({ ...policy, paths }, { ...act, disks });
  }

  #otherPeer({ vm }: MoveRef, peer: string, asked: string) {
    const { name } = this.#parts;
    return permanent({
      code: 'policy-denied',
      message: `${name} let the move of ${vm.name} in with ${peer}; an order of it with ${asked} is refused`,
      remedy:
        'Nothing was changed here. Find out who may give orders to Temporal: no move changes its hosts.',
      host: name,
    });
  }
}

const isMoveRef = (input: unknown): input is MoveRef =>
  typeof input === 'object' && input !== null && 'migrationId' in input && 'vm' in input;

const roleBy = (verb: string, { side }: VerbInput): MoveMemory['role'] =>
  side ?? (sourceVerbs.has(verb) || lateSourceVerbs.has(verb) ? 'source' : 'target');

function verbsOf(verb: string, role: MoveMemory['role']): PolicyVerb[] {
  if (verb === 'removeSource') return ['remove-source'];
  return [role === 'source' ? 'move-away' : 'move-here'];
}

function disksOf({ disk, disks }: VerbInput, role: MoveMemory['role']): PolicyDisk[] {
  const plans = [...(disk === undefined ? [] : [disk]), ...(disks ?? [])];
  return plans
    .map(({ sourcePath, targetPath, targetPool }) =>
      role === 'source' ? { path: sourcePath } : { path: targetPath, pool: targetPool },
    )
    .filter(({ path }) => path !== '');
}

/** With symbolic links followed as far as the path exists; what is no path of a file stays as it is. */
async function resolved(path: string): Promise<string> {
  if (!isAbsolute(path)) return path;
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await resolved(parent), basename(path));
  }
}
