/** The foreign platforms that the conversion hosts know, and what is there. */
import { foreignVmConcerns } from '../domain/checks/foreign/concerns.ts';
import type { Concern } from '../domain/concerns.ts';
import { permanent } from '../domain/errors.ts';
import type { ForeignKind, ForeignVmSummary } from '../domain/foreign.ts';
import { refusesImports } from '../domain/hosts/conversion.ts';
import type { ConversionHostFacts } from '../domain/import.ts';
import type { ConversionCandidate } from '../domain/import/conversion-host.ts';
import { chosenConversionHost } from '../domain/import/conversion-host.ts';
import { workflowTypes } from '../workflows/contract.ts';
import type {
  AtConversionHost,
  HostLine,
  InspectForeignInput,
  InspectForeignResult,
  ListForeignInput,
  ListForeignResult,
} from '../workflows/contract.ts';
import type { Access } from './access.ts';
import { toVmFerryError } from './errors.ts';
import type { Fleet } from './fleet.ts';

/** A provider as one conversion host sees it. */
export interface ProviderState {
  /** The conversion host whose configuration names it. */
  host: string;
  name: string;
  kind: ForeignKind;
  /** An address or a folder. */
  address: string;
  /** Whether it let the host in and told of its VMs; absent if nobody tried. */
  reachable?: boolean;
  trouble?: string;
}

export interface ProviderAsk {
  /** A conversion host; all if absent. */
  host?: string;
  /** Whether each is tried; so if absent. */
  check?: boolean;
}

export interface ProviderList {
  providers: ProviderState[];
  /** Hosts that did not answer. */
  unreachable: { host: string; reason: string }[];
}

/** A foreign VM as one conversion host sees it. */
export interface ForeignLook extends Pick<InspectForeignResult, 'vm'> {
  /** What its platform says of it, then what the rules do that need no target. */
  concerns: Concern[];
  provider: string;
  conversionHost: string;
}

/** Hosts, and pages of an inventory, that are asked at a time. */
const atATime = 16;
const pageLines = 500;

export class Providers {
  readonly #access: Access;
  readonly #fleet: Fleet;

  constructor(access: Access, fleet: Fleet) {
    this.#access = access;
    this.#fleet = fleet;
  }

  /** Of the hosts that are online, or of one. Throws `host-unknown`, `host-offline` for one that is named. */
  async list({ host, check = true }: ProviderAsk = {}): Promise<ProviderList> {
    return this.#access.attempt('list providers', async () => {
      const candidates = await this.candidates(host);
      const known = candidates.flatMap(({ name, facts }) =>
        (facts?.providers ?? []).map((line) => ({ host: name, ...line })),
      );
      const unreachable = candidates.flatMap(({ name, trouble }) =>
        trouble === undefined ? [] : [{ host: name, reason: trouble }],
      );
      const providers = check ? await someAtATime(known, (line) => this.#tried(line)) : known;
      return { providers, unreachable };
    });
  }

  /** The inventory of a provider, a page at a time. Throws `no-conversion-host` and what the platform throws. */
  async *vms(provider: string, { on }: { on?: string } = {}): AsyncGenerator<ForeignVmSummary> {
    const host = await this.#anyHost(provider, on);
    for (let skip = 0, more = true; more;) {
      const page = await this.#page(host, { provider, skip, most: pageLines });
      yield* page.vms;
      skip += page.vms.length;
      more = page.more && page.vms.length > 0;
    }
  }

  /**
   * One VM by ID, name or UUID, judged by all rules that need no target, as if it were to come by the defaults. Throws
   * `vm-not-found`, `vm-ambiguous`, `no-conversion-host`.
   */
  async inspect(
    provider: string,
    word: string,
    { on }: { on?: string } = {},
  ): Promise<ForeignLook> {
    const host = await this.#anyHost(provider, on);
    const { vm, concerns: said } = await this.lookFrom(host, provider, word);
    return { provider, conversionHost: host, vm, concerns: foreignVmConcerns(vm, { said }) };
  }

  async lookFrom(host: string, provider: string, vm: string): Promise<InspectForeignResult> {
    const input: InspectForeignInput & AtConversionHost = { host, provider, vm };
    const what = `look up ${vm} at ${provider}`;
    return this.#access.read<InspectForeignResult>(workflowTypes.inspectForeign, input, what);
  }

  /** Every host that is online, or the one named, with its facts; one that cannot tell them says why. */
  async candidates(only?: string): Promise<(ConversionCandidate & { trouble?: string })[]> {
    if (only !== undefined) await this.#fleet.directory.assertOnline(only);
    const lines =
      only === undefined
        ? await this.#fleet.directory.list()
        : [await this.#fleet.directory.host(only)];
    return someAtATime(
      lines.filter(({ online }) => online),
      (line) => this.#candidate(line),
    );
  }

  async #candidate({ name, state }: HostLine): Promise<ConversionCandidate & { trouble?: string }> {
    const role = state?.conversion?.role;
    const refusal = role === undefined ? undefined : refusesImports(role);
    const enabled = refusal === undefined && (state?.settings.enabled ?? true);
    const known = { name, enabled, ...(refusal === undefined ? {} : { refusal }) };
    const input: AtConversionHost = { host: name };
    const what = `read the facts of ${name}`;
    try {
      const facts = await this.#access.read<ConversionHostFacts>(
        workflowTypes.conversionFacts,
        input,
        what,
      );
      return { ...known, facts };
    } catch (error) {
      const { address } = this.#access;
      const fault = toVmFerryError(error, { what, address });
      // One without a section of providers has no such verb, and is no trouble.
      if (noConversionHost.includes(fault.code)) return known;
      return { ...known, trouble: fault.message };
    }
  }

  async #tried(line: Omit<ProviderState, 'reachable'>): Promise<ProviderState> {
    const { host, name: provider } = line;
    try {
      await this.#page(host, { provider, skip: 0, most: 1 });
      return { ...line, reachable: true };
    } catch (error) {
      const { address } = this.#access;
      const { message } = toVmFerryError(error, { what: `list the VMs of ${provider}`, address });
      return { ...line, reachable: false, trouble: message };
    }
  }

  #page(host: string, input: ListForeignInput): Promise<ListForeignResult> {
    const what = `list the VMs of ${input.provider}`;
    return this.#access.read<ListForeignResult>(
      workflowTypes.listForeign,
      { host, ...input },
      what,
    );
  }

  /** Whoever knows the provider and is least busy: only to look. */
  async #anyHost(provider: string, on?: string): Promise<string> {
    return this.#access.attempt(`look for the provider ${provider}`, async () =>
      hostFor(await this.candidates(on), provider, on),
    );
  }
}

/** The host to look from. Throws `provider-unknown`, `no-conversion-host`. */
export function hostFor(
  candidates: readonly (ConversionCandidate & { trouble?: string })[],
  provider: string,
  pinned?: string,
): string {
  const names = new Set(
    candidates.flatMap(({ facts }) => facts?.providers.map(({ name }) => name) ?? []),
  );
  const silent = candidates.filter(({ trouble }) => trouble !== undefined);
  if (!names.has(provider) && silent.length === 0) {
    throw permanent({
      code: 'provider-unknown',
      message: `no host that is online has a provider ${provider}; known: ${[...names].sort().join(', ') || 'none'}`,
      remedy:
        'Add it to `host.providers` in the configuration of a host and restart its worker; `vmferry providers` lists them.',
    });
  }
  // Who looks needs no tool and no room.
  const wishes = { provider, convert: 'no', neededBytes: 0 } as const;
  return chosenConversionHost(candidates, {
    ...wishes,
    ...(pinned === undefined ? {} : { pinned }),
  });
}

const noConversionHost: readonly string[] = ['no-conversion-host', 'host-version-too-old'];

/** As `Promise.all`, in parts: a fleet of a thousand is not asked at once. */
export async function someAtATime<Item, Result>(
  items: readonly Item[],
  ask: (item: Item) => Promise<Result>,
  most = atATime,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let at = 0; at < items.length; at += most)
    results.push(...(await Promise.all(items.slice(at, at + most).map(ask))));
  return results;
}
