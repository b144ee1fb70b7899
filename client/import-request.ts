/** What a person asked of an import, made whole: maps by names become the request's own words. */
import { poolKind } from '../domain/disk-plan.ts';
import type { ForeignDisk, ForeignVm } from '../domain/foreign.ts';
import type { HostFacts } from '../domain/host.ts';
import { importDefaults } from '../domain/import.ts';
import type {
  ConversionHostFacts,
  ImportRequest,
  ImportStorage,
  NetworkChoice,
} from '../domain/import.ts';
import { broughtDisks, poolNameFor } from '../domain/import/disks.ts';

/** Everything that is not said is as in the manual. */
export interface V2vRequest extends Partial<
  Omit<ImportRequest, 'storage' | 'networks' | 'defaultNetwork' | 'conversionHost'>
> {
  provider: string;
  /** ID, name or UUID at the provider. */
  vm: string;
  /** The conversion host; the one with the fewest imports under way if absent. */
  on?: string;
  /** By the foreign network's name: `bridge:NAME`, `network:NAME`, or a name that the target has as one of them. */
  networks?: Readonly<Record<string, string>>;
  defaultNetwork?: string;
  /** `format`: qcow2 where the pools hold files, else raw. */
  storage?: Partial<ImportStorage>;
  /** Pools by where the foreign disks are: a datastore's name, a folder, or a disk's key. */
  storageMap?: Readonly<Record<string, string>>;
}

export interface RequestFacts {
  vm: ForeignVm;
  conversionHost: ConversionHostFacts;
  target: HostFacts;
  operator: string;
}

export function importRequestOf(asked: V2vRequest, facts: RequestFacts): ImportRequest {
  const { vm, conversionHost, target, operator } = facts;
  const { on: _on, networks = {}, defaultNetwork, storageMap: _map, ...rest } = asked;
  const { cacheSeconds = importDefaults.cacheSeconds } = conversionHost;
  return {
    ...importDefaults,
    ...{ cacheSeconds, operator },
    ...rest,
    vm: vm.id,
    conversionHost: conversionHost.name,
    to: target.name,
    networks: Object.fromEntries(
      Object.entries(networks).map(([from, to]) => [from, networkChoice(to, target)]),
    ),
    ...(defaultNetwork === undefined
      ? {}
      : { defaultNetwork: networkChoice(defaultNetwork, target) }),
    storage: storageOf(asked, facts),
  };
}

/** A bare name is a bridge if the target has it as one alone; else a network, which the checks then miss. */
function networkChoice(text: string, { bridges, networks }: HostFacts): NetworkChoice {
  if (text.startsWith('bridge:') || text.startsWith('network:')) return text as NetworkChoice;
  return bridges.includes(text) && !networks.includes(text) ? `bridge:${text}` : `network:${text}`;
}

function storageOf(
  { shape = {}, storage, storageMap = {} }: V2vRequest,
  { vm, target }: Pick<RequestFacts, 'vm' | 'target'>,
): ImportStorage {
  const byDisk = { ...poolsByDisk(vm, storageMap), ...storage?.byDisk };
  const pools = { pool: storage?.pool ?? '', byDisk };
  const inFiles = broughtDisks(vm, shape).every((disk) => {
    const name = poolNameFor(disk, { ...pools, format: 'raw' });
    const pool = target.pools.find((one) => one.name === name);
    return pool === undefined || poolKind(pool) === 'file';
  });
  return {
    pool: pools.pool,
    format: storage?.format ?? (inFiles ? 'qcow2' : 'raw'),
    ...(Object.keys(byDisk).length === 0 ? {} : { byDisk }),
  };
}

function poolsByDisk(
  { disks }: ForeignVm,
  map: Readonly<Record<string, string>>,
): Record<string, string> {
  const found = disks.flatMap((disk): [string, string][] => {
    const place = placesOf(disk).find((one) => Object.hasOwn(map, one));
    const pool = place === undefined ? undefined : map[place];
    return pool === undefined ? [] : [[disk.key, pool]];
  });
  return Object.fromEntries(found);
}

/** By what a disk can be named in a map, the narrowest first. */
function placesOf({ key, path }: ForeignDisk): string[] {
  const datastore = /^\[([^\]]{1,200})\]/.exec(path)?.[1];
  const folders: string[] = [];
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
    folders.push(path.slice(0, at));
  return [key, path, ...folders, ...(datastore === undefined ? [] : [datastore])];
}
