/**
 * Packs what libvirt keeps of a stopped VM beside definition and disks, and puts it in its place on another host.
 * Where that is, is always read from the definition and the rules of the host it comes to, never from the parcel.
 */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { permanent, unsafe } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { KeptState, SecretRef } from '../../domain/vm.ts';
import { DomainXmlFlag } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import type { DefinedFacts } from './domain-facts.ts';
import { secretKey } from './domain-network.ts';
import { DomainDocument } from './domain-xml.ts';
import { nvramFolder, tpmFolder } from './kept-state.ts';
import { isOff, vmStateOf } from './lifecycle.ts';
import { otherUserOfNvram } from './nvram-owner.ts';
import { ensureSecret, missingSecrets, readSecrets } from './secrets.ts';
import { ensureSnapshots, isSnapshotOf, readSnapshots } from './snapshots.ts';
import {
  OddStateFile,
  ensureStateFolder,
  readStateFile,
  putFolderInPlace,
  setAside,
  stateFileNames,
  syncFolder,
  writeStateFile,
} from './state-files.ts';
import { emulatorOwner, tpmOwner } from './state-owners.ts';
import {
  ParcelError,
  decodeParcel,
  encodeParcel,
  isTpmFileName,
  maxParcelBytes,
  maxParcelEntries,
} from './state-parcel.ts';
import type { StateContent, TpmContent, TpmVersion } from './state-parcel.ts';
import { XmlError } from './xml.ts';

/** Every method throws the domain errors of `LibvirtHost.use`. */
export class LibvirtState {
  readonly #host: LibvirtHost;

  constructor(host: LibvirtHost) {
    this.#host = host;
  }

  /** See `missingSecrets` of `secrets.ts`. */
  async missingSecrets(refs: readonly SecretRef[]): Promise<SecretRef[]> {
    return this.#host.use(async (connection) => missingSecrets(connection, refs));
  }

  /**
   * The VM's kept state as one parcel; nothing of it may be written meanwhile, so the VM has to be off.
   * Throws `vm-still-active`, `state-too-large`, `state-unreadable`.
   */
  async pack(uuid: string, { snapshots }: { snapshots: boolean }): Promise<Buffer> {
    return this.#host.use(async (connection) => {
      const { dom, facts } = await this.#stopped(connection, uuid);
      try {
        const nvram = await this.#readNvram(facts);
        const tpm = await this.#readTpm(facts);
        return encodeParcel({
          uuid: facts.uuid,
          ...(nvram === undefined ? {} : { nvram }),
          ...(tpm === undefined ? {} : { tpm }),
          secrets: await readSecrets(connection, facts.secrets),
          snapshots: snapshots ? await readSnapshots(connection, dom) : [],
        });
      } catch (error) {
        if (error instanceof ParcelError) throw tooLarge(this.#host.name, { facts, error });
        if (error instanceof OddStateFile) throw unreadable(this.#host.name, { facts, error });
        throw error;
      }
    });
  }

  /**
   * Puts a parcel where libvirt looks for it. All of it is checked against the definition here before anything is
   * written; what the parcel lacks stays as it is, and what it replaces is set aside. Durable once it resolves, safe
   * to run twice. Throws `vm-still-active`, `state-parcel-refused`, `nvram-in-use`, `secret-in-the-way`.
   */
  async unpack(uuid: string, parcel: Buffer): Promise<void> {
    await this.#host.use(async (connection) => {
      const { dom, facts } = await this.#stopped(connection, uuid);
      const state = checked(parcel, { facts, host: this.#host.name });
      if (state.nvram !== undefined) await this.#refuseOthersNvram(connection, facts);
      for (const secret of state.secrets) {
        await ensureSecret(connection, secret, this.#host.name);
      }
      if (state.nvram !== undefined) await this.#writeNvram(connection, facts, state.nvram);
      if (state.tpm !== undefined) await this.#writeTpm(facts, state.tpm);
      await ensureSnapshots(connection, dom, state.snapshots);
    });
  }

  async #stopped(
    connection: Connection,
    uuid: string,
  ): Promise<{ dom: DomainRef; facts: DefinedFacts }> {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    const state = vmStateOf((await connection.call('DomainGetState', { dom })).state);
    if (!isOff(state)) throw stillActive(this.#host.name, dom.name);
    const flags = DomainXmlFlag.inactive;
    const { xml } = await connection.call('DomainGetXMLDesc', { dom, flags });
    return { dom, facts: DomainDocument.parse(xml).facts() };
  }

  #here = (path: string): string => join(this.#host.fileRoot, path);

  async #readNvram(facts: DefinedFacts): Promise<Uint8Array | undefined> {
    const place = keptPlace(facts, 'nvram');
    return place === undefined ? undefined : readStateFile(this.#here(place), maxParcelBytes);
  }

  async #readTpm(facts: DefinedFacts): Promise<TpmContent | undefined> {
    const place = keptPlace(facts, 'tpm');
    if (place === undefined) return undefined;
    const folder = this.#here(place);
    const files: TpmContent['files'] = [];
    for (const name of await stateFileNames(folder, maxParcelEntries)) {
      // The emulator's lock belongs to the process that held it here.
      if (name.startsWith('.')) continue;
      if (!isTpmFileName(name)) throw new OddStateFile(`${join(place, name)} is no state of a TPM`);
      const content = await readStateFile(join(folder, name), maxParcelBytes);
      if (content !== undefined) files.push({ name, content });
    }
    return files.length === 0 ? undefined : { version: versionOf(place), files };
  }

  async #writeNvram(
    connection: Connection,
    facts: DefinedFacts,
    content: Uint8Array,
  ): Promise<void> {
    const place = keptPlace(facts, 'nvram');
    if (place === undefined) return;
    const old = await readStateFile(this.#here(place), maxParcelBytes);
    if (old?.equals(content)) return syncFolder(this.#here(dirname(place)));
    const owner = await emulatorOwner(connection);
    await ensureStateFolder(this.#here(nvramFolder), { keep: true, owner, mode: 0o755 });
    await setAside(this.#here(place));
    await writeStateFile(this.#here(place), content, { owner, mode: 0o600 });
  }

  async #writeTpm(facts: DefinedFacts, { version, files }: TpmContent): Promise<void> {
    const place = keptPlace(facts, 'tpm');
    if (place === undefined) return;
    if (isSameTpm(await this.#readTpm(facts), files)) return syncFolder(this.#here(tpmFolder));
    const { fileRoot, name: host } = this.#host;
    const owner = await tpmOwner({ fileRoot, host });
    const root = { uid: 0, gid: 0 };
    // As libvirt makes them: others pass through the upper two, only the emulator's user sees the state.
    await ensureStateFolder(this.#here(tpmFolder), { keep: true, owner: root, mode: 0o711 });
    const vmFolder = this.#here(dirname(place));
    const made = `${vmFolder}.vmferry-new`;
    // A left-over of an attempt that was killed.
    await rm(made, { recursive: true, force: true });
    await ensureStateFolder(made, { keep: false, owner: root, mode: 0o711 });
    await ensureStateFolder(join(made, version), { keep: false, owner, mode: 0o700 });
    for (const { name, content } of files) {
      await writeStateFile(join(made, version, name), content, { owner, mode: 0o600 });
    }
    await putFolderInPlace(made, vmFolder);
  }

  /** Throws `nvram-in-use` if another VM of this host has the file that the variables would go to. */
  async #refuseOthersNvram(connection: Connection, facts: DefinedFacts): Promise<void> {
    const path = keptPlace(facts, 'nvram');
    if (path === undefined) return;
    const other = await otherUserOfNvram(connection, { path, uuid: facts.uuid });
    if (other !== undefined) throw nvramInUse(this.#host.name, { facts, path, other });
  }
}

/** Whether the state that lies there is this very state. */
const isSameTpm = (there: TpmContent | undefined, files: TpmContent['files']): boolean =>
  there?.files.length === files.length &&
  files.every(({ name, content }) =>
    there.files.some((file) => file.name === name && Buffer.compare(file.content, content) === 0),
  );

const keptPlace = ({ keptState }: DefinedFacts, role: KeptState['role']): string | undefined =>
  keptState.find((each) => each.role === role)?.path;

const versionOf = (place: string): TpmVersion => (place.endsWith('/tpm1.2') ? 'tpm1.2' : 'tpm2');

/** Reads a parcel and holds it against what the definition here has room for. */
function checked(
  parcel: Buffer,
  { facts, host }: { facts: DefinedFacts; host: string },
): StateContent {
  try {
    const state = decodeParcel(parcel);
    const why = whyNotFor(facts, state);
    if (why !== undefined) throw new ParcelError(why);
    return state;
  } catch (error) {
    if (error instanceof ParcelError) throw parcelRefused(host, { facts, error });
    throw error;
  }
}

/** Why a parcel is not for this VM; undefined if it is. */
function whyNotFor(facts: DefinedFacts, state: StateContent): string | undefined {
  if (state.uuid !== facts.uuid) return `it is that of another VM, ${state.uuid}`;
  if (state.nvram !== undefined && keptPlace(facts, 'nvram') === undefined)
    return 'it has UEFI variables, for which the definition has no place';
  const tpm = keptPlace(facts, 'tpm');
  if (state.tpm !== undefined && (tpm === undefined || versionOf(tpm) !== state.tpm.version))
    return `it has the state of a TPM (${state.tpm.version}) that the definition does not have`;
  const named = new Set(facts.secrets.map(secretKey));
  const stray = state.secrets.find(
    ({ uuid, usageType, usage }) => !named.has(uuid) && !named.has(secretKey({ usageType, usage })),
  );
  if (stray !== undefined)
    return `it has the secret ${stray.uuid}, which the definition does not name`;
  return state.snapshots.every(({ xml }) => isSnapshot(facts.uuid, xml))
    ? undefined
    : 'it has a snapshot that is not one of this VM';
}

function isSnapshot(uuid: string, xml: string): boolean {
  try {
    return isSnapshotOf(uuid, xml);
  } catch (error) {
    if (error instanceof XmlError) return false;
    throw error;
  }
}

interface AboutState {
  facts: DefinedFacts;
  error: Error;
}

const stillActive = (host: string, name: string): VmFerryError =>
  unsafe({
    code: 'vm-still-active',
    message: `${name} on ${host} is not off: its UEFI variables and its TPM are in use`,
    remedy: 'Stop it first, if this copy is not the one that should run.',
    host,
  });

const nvramInUse = (
  host: string,
  { facts, path, other }: { facts: DefinedFacts; path: string; other: string },
): VmFerryError =>
  permanent({
    code: 'nvram-in-use',
    message: `the UEFI variables of ${facts.name} would lie in ${path} on ${host}, where the VM ${other} has its own`,
    remedy: `Give ${other} a file of its own (<nvram> in virsh edit), or ${facts.name} one on its source, then start the move again.`,
    host,
  });

const tooLarge = (host: string, { facts, error }: AboutState): VmFerryError =>
  permanent({
    code: 'state-too-large',
    message: `what libvirt keeps of ${facts.name} on ${host} cannot be taken along: ${error.message}`,
    remedy: `Look at ${nvramFolder} and ${tpmFolder}/${facts.uuid}, and delete snapshots that nobody needs (virsh snapshot-list ${facts.name}).`,
    host,
    cause: error,
  });

const unreadable = (host: string, { facts, error }: AboutState): VmFerryError =>
  permanent({
    code: 'state-unreadable',
    message: `what libvirt keeps of ${facts.name} on ${host} is not as libvirt leaves it: ${error.message}`,
    remedy: 'Put it right on that host, then start the move again.',
    host,
    cause: error,
  });

const parcelRefused = (host: string, { facts, error }: AboutState): VmFerryError =>
  permanent({
    code: 'state-parcel-refused',
    message: `${host} refuses what came with ${facts.name} beside its disks: ${error.message}`,
    remedy: 'Compare the versions of vmferry on both hosts; nothing was written.',
    host,
    cause: error,
  });
