/** The checks of `vmferry doctor`, in the order in which one needs the other. */
import type { Config } from '../config/schema.ts';
import { faultOf } from './fault.ts';
import type { Ferry, HostLine } from './ferry.ts';
import { duration } from './render/quantity.ts';
import type { Backend, Globals } from './session.ts';

export interface Finding {
  check: string;
  /** `unknown`: it could not be looked at, because something before it failed or is not offered. */
  state: 'good' | 'bad' | 'unknown';
  /** What was seen. */
  detail: string;
  remedy?: string;
}

/** Beyond this, times in reports mislead and certificates may seem not yet valid. */
const mostClockOffsetMs = 2000;

const good = (check: string, detail: string): Finding => ({ check, state: 'good', detail });
const bad = (check: string, detail: string, remedy: string): Finding => ({
  check,
  state: 'bad',
  detail,
  remedy,
});
const unknown = (check: string, detail: string): Finding => ({ check, state: 'unknown', detail });

function badFrom(check: string, error: unknown): Finding {
  const { message, remedy, host } = faultOf(error);
  return bad(check, host === undefined ? message : `${host}: ${message}`, remedy);
}

const serverChecks = ['Namespace', 'Search attributes'];

/** Looks at everything, and gives each finding as soon as it is there. Does not throw. */
export async function* examine(
  backend: Backend,
  globals: Globals,
  operator: string,
): AsyncGenerator<Finding> {
  let config: Config;
  try {
    config = await backend.loadConfig(globals);
    yield good('Configuration', `cluster ${config.cluster}`);
  } catch (error) {
    yield badFrom('Configuration', error);
    for (const check of ['Temporal', ...serverChecks, 'Encryption key', 'Hosts', 'Clocks']) {
      yield unknown(check, 'needs the configuration');
    }
    return;
  }
  let ferry: Ferry;
  try {
    ferry = await backend.connect(config, operator);
  } catch (error) {
    yield badFrom('Temporal', error);
    for (const check of serverChecks) yield unknown(check, 'needs Temporal');
    yield await keyFinding(backend, config);
    for (const check of ['Hosts', 'Clocks']) yield unknown(check, 'needs Temporal');
    return;
  }
  try {
    yield* serverFindings(ferry, config);
    yield await keyFinding(backend, config);
    yield* hostFindings(ferry);
    yield await clockFinding(ferry);
  } finally {
    await ferry.close();
  }
}

async function* serverFindings(ferry: Ferry, config: Config): AsyncGenerator<Finding> {
  const { address, namespace } = config.temporal;
  yield await looking('Temporal', async () => {
    return good('Temporal', `${address}, version ${await ferry.serverVersion()}`);
  });
  yield await looking('Namespace', async () => {
    if (ferry.namespaceExists === undefined)
      return unknown('Namespace', `${namespace}; this client cannot look`);
    if (await ferry.namespaceExists()) return good('Namespace', namespace);
    const create = `temporal operator namespace create --namespace ${namespace}`;
    return bad('Namespace', `${namespace} does not exist`, `Create it: ${create}`);
  });
  yield await looking('Search attributes', async () => {
    const missing = await ferry.missingSearchAttributes();
    if (missing.length === 0) return good('Search attributes', 'all there');
    return bad(
      'Search attributes',
      `missing: ${missing.join(', ')}`,
      'Start `vmferry control`: it registers them.',
    );
  });
}

/** A check that throws has failed, and the next ones are still worth a look. */
async function looking(check: string, look: () => Promise<Finding>): Promise<Finding> {
  try {
    return await look();
  } catch (error) {
    return badFrom(check, error);
  }
}

async function keyFinding(backend: Backend, config: Config): Promise<Finding> {
  return looking('Encryption key', async () => {
    const [active, ...older] = await backend.readKeys(config);
    if (active === undefined) {
      return bad(
        'Encryption key',
        'none is configured: history would hold plain text',
        'Name one under `encryption` in the configuration; docs/configuration.md shows how to make it.',
      );
    }
    const others = older.length === 0 ? '' : `; also readable: ${older.join(', ')}`;
    return good('Encryption key', `${active} is active${others}`);
  });
}

async function hostFinding(ferry: Ferry, { name, online }: HostLine): Promise<Finding> {
  const check = `Host ${name}`;
  if (!online) {
    return bad(check, 'no worker answers', `Start it on ${name}: vmferry host; and see its log.`);
  }
  return looking(check, async () => {
    const { guard, version } = await ferry.hostFacts(name);
    if (guard.hookLive) return good(check, `online, guard live, vmferry ${version}`);
    return bad(
      check,
      `online, but its guard is not live: ${guard.detail}`,
      `Start the worker on ${name} as root, so that it installs its libvirt hook, and restart libvirtd if the hook is new.`,
    );
  });
}

async function* hostFindings(ferry: Ferry): AsyncGenerator<Finding> {
  let hosts: HostLine[];
  try {
    hosts = await ferry.hosts();
  } catch (error) {
    yield badFrom('Hosts', error);
    return;
  }
  if (hosts.length === 0) {
    yield bad('Hosts', 'none has announced itself', 'Run `vmferry host` on each host.');
  }
  for (const host of hosts) yield await hostFinding(ferry, host);
}

async function clockFinding(ferry: Ferry): Promise<Finding> {
  return looking('Clocks', async () => {
    if (ferry.clockOffsetMs === undefined)
      return unknown('Clocks', 'this client cannot compare them');
    const offset = await ferry.clockOffsetMs();
    const apart = `this machine and the server are ${duration(Math.abs(offset))} apart`;
    return Math.abs(offset) <= mostClockOffsetMs
      ? good('Clocks', apart)
      : bad('Clocks', apart, 'Set both by NTP: timedatectl set-ntp true');
  });
}
