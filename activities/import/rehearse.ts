/**
 * A rehearsal: what the target would start is started here from throw-away images, on networks that lead nowhere, until
 * a check tells whether it came up. The source and the cache never notice.
 */
import { readFile } from 'node:fs/promises';
import { needsOperator, permanent } from '../../domain/errors.ts';
import { networkAddress } from '../../domain/import/addresses.ts';
import { besideGuest, routeInto } from '../../domain/import/rehearsal-address.ts';
import { rehearsalLimitMs } from '../../domain/import/rehearsal.ts';
import type { RehearsalReport } from '../../domain/import/rehearsal.ts';
import { rehearsalDomain, rehearsalName } from '../../platforms/libvirt/rehearsal-xml.ts';
import type { HostAddress, RehearsalDomain } from '../../platforms/libvirt/rehearsal-xml.ts';
import { cacheOf } from './cache-of.ts';
import type { ImportCache } from './cache.ts';
import type { RehearseInput } from './contract.ts';
import { accelerationHere } from './conversion-facts.ts';
import { definitionOf } from './define-import.ts';
import type { ImportParts } from './parts.ts';
import { assertPattern, checkUnknown, observe } from './rehearse-checks.ts';
import type { SeenOrNot } from './rehearse-checks.ts';
import type { RehearsalParts } from './rehearse-parts.ts';
import { checkLabel, endRehearsal, makeImages, openStage } from './rehearse-stage.ts';

/** What can be known before anything is copied. Throws `rehearsal-check-unknown`, `rehearsal-pattern-invalid`, `rehearsal-address-unfit`. */
export async function checkRehearsal(parts: ImportParts, input: RehearseInput): Promise<void> {
  const { checks } = rehearsalsOf(parts);
  const { check } = input.wish;
  if (check.kind === 'console') assertPattern(check.pattern);
  if (check.kind === 'command' && !Object.hasOwn(checks, check.name))
    throw checkUnknown(check.name);
  if (check.kind === 'port') await hostAddress(parts, check.address);
}

/**
 * Throws `rehearsal-failed` where the check fails, `rehearsal-no-memory`, `rehearsal-folder-closed`,
 * `rehearsal-image-foreign`, `start-refused-by-guard`, and what `checkRehearsal` throws.
 */
export async function rehearse(
  parts: ImportParts,
  input: RehearseInput,
  signal: AbortSignal,
): Promise<RehearsalReport> {
  await checkRehearsal(parts, input);
  const { migrationId } = input;
  const cache = cacheOf(parts, input);
  return parts.host.operations.exclusive({ migrationId, name: 'rehearse', signal }, (inner) =>
    parts.turns.take(inner, () =>
      cache.alone('rehearse', inner, async () => {
        // What an attempt left that was killed, even if the cache lay elsewhere then.
        await rehearsalsOf(parts).host.end(rehearsalName(cache.key));
        await endRehearsal(parts, cache);
        try {
          return await play(parts, input, { cache, signal: inner });
        } finally {
          // If this fails too, its own error counts: the next attempt begins with it.
          await endRehearsal(parts, cache);
        }
      }),
    ),
  );
}

async function play(
  parts: ImportParts,
  input: RehearseInput,
  { cache, signal }: { cache: ImportCache; signal: AbortSignal },
): Promise<RehearsalReport> {
  const { host, checks } = rehearsalsOf(parts);
  const { plan, wish } = input;
  await assertMemory(parts, input);
  const as = rehearsalName(cache.key);
  const emulated = plan.domainType === 'qemu' || (await accelerationHere()) !== 'kvm';
  const disks = await makeImages(parts, input, { cache, signal });
  await openStage(parts, cache);
  const domain = rehearsalDomain(definitionOf({ foreign: input.vm, plan, disks }), {
    ...{ as, migrationId: input.migrationId, domainType: emulated ? 'qemu' : 'kvm' },
    images: disks.map(({ targetPath }) => targetPath),
    consolePath: host.consolePath(as),
  });
  signal.throwIfAborted();
  const addresses = await addressesFor(parts, input, domain);
  const localAddress = addresses.find((one) => one !== undefined)?.address;
  await host.begin(domain, addresses);
  await host.run(as);
  const seen = await observe({
    ...{ as, host, checks, check: wish.check, signal },
    limitMs: wish.limitMs ?? rehearsalLimitMs({ emulated }),
    ...(localAddress === undefined ? {} : { localAddress }),
    folder: cache.folder,
    label: checkLabel(cache),
    facts: factsFor(input, { as, domain }),
  });
  return reportOf(parts, input, { seen, emulated });
}

function reportOf(
  parts: ImportParts,
  { vm, wish }: RehearseInput,
  { seen, emulated }: { seen: SeenOrNot; emulated: boolean },
): RehearsalReport {
  if (!('failed' in seen)) return { check: wish.check.kind, emulated, ...seen };
  const said = seen.console.slice(-3).join(' | ');
  const last = said === '' ? 'its console says nothing' : `its console ends with: ${said}`;
  // One that is nothing but a rehearsal has its answer; in an import a person decides how it goes on.
  const fault = wish.only ? permanent : needsOperator;
  throw fault({
    code: 'rehearsal-failed',
    message: `${vm.name} did not come up in its rehearsal on ${parts.host.name}: ${seen.failed}; ${last}`,
    remedy: wish.only
      ? 'What was copied is kept. Change how it is converted, or the check, and rehearse it again.'
      : 'Nothing was cut over. `vmferry retry` plays it again; `vmferry cancel` ends the import and keeps what was copied.',
    host: parts.host.name,
  });
}

/** For a program of a check; nothing of it is a secret. */
function factsFor(
  { plan }: RehearseInput,
  { as, domain }: { as: { name: string; uuid: string }; domain: RehearsalDomain },
): Record<string, string> {
  return {
    VMFERRY_GUEST_NAME: plan.name,
    VMFERRY_GUEST_DOMAIN: as.name,
    VMFERRY_GUEST_UUID: as.uuid,
    VMFERRY_GUEST_MACS: domain.cards.map(({ mac }) => mac).join(' '),
    VMFERRY_GUEST_BRIDGES: domain.networks.map(({ bridge }) => bridge).join(' '),
  };
}

/** This host's address on the segment of the card that has the guest's. */
async function addressesFor(
  parts: ImportParts,
  { vm, plan, wish: { check } }: RehearseInput,
  { cards, networks }: RehearsalDomain,
): Promise<(HostAddress | undefined)[]> {
  if (check.kind !== 'port') return [];
  const beside = await hostAddress(parts, check.address);
  const mac = cardWith(check.address, { vm, plan });
  const segment = networks.length === 1 ? 0 : cards.find((card) => card.mac === mac)?.segment;
  if (segment === undefined)
    throw addressUnfit(parts, check.address, 'which of its cards has that address is not known');
  return networks.map((_, at) => (at === segment ? beside : undefined));
}

/** The MAC of the card that is given the address, or had it at its source. */
function cardWith(wanted: string, { vm, plan }: Pick<RehearseInput, 'vm' | 'plan'>) {
  const given = plan.nics.find(({ set }) =>
    set?.addresses.some((text) => networkAddress(text)?.address === wanted),
  );
  if (given !== undefined) return given.mac;
  const told = vm.guestNetwork.find(({ addresses }) =>
    addresses.some(({ address }) => address === wanted),
  );
  const source = vm.nics.find(({ mac }) => mac.toLowerCase() === told?.mac.toLowerCase());
  return plan.nics.find(({ key }) => key === source?.key)?.mac;
}

/** Throws `rehearsal-address-unfit`. */
async function hostAddress(parts: ImportParts, guest: string): Promise<HostAddress> {
  const beside = besideGuest(guest);
  if (beside === undefined) throw addressUnfit(parts, guest, 'it is no IPv4 address of a guest');
  const { address, prefix, segment } = beside;
  const route = routeInto(segment, await readFile('/proc/net/route', 'latin1'));
  if (route === undefined) return { address, prefix };
  throw addressUnfit(parts, guest, `this host reaches others there, by ${route}`);
}

const addressUnfit = ({ host }: ImportParts, address: string, why: string) =>
  permanent({
    code: 'rehearsal-address-unfit',
    message: `a port of ${address} cannot be asked on ${host.name} during a rehearsal: ${why}`,
    remedy: 'Choose another check: the guest agent, the console, or a program of that host.',
    host: host.name,
  });

/** Beside what this host has to do: a rehearsal must not cost a running VM its memory. */
async function assertMemory(
  { host }: ImportParts,
  { plan: { name, memoryBytes } }: RehearseInput,
): Promise<void> {
  const told = await readFile('/proc/meminfo', 'latin1');
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(told)?.[1] ?? 0) * 1024;
  // QEMU's own, roughly.
  const needed = memoryBytes + 256 * 1024 ** 2;
  if (needed <= available) return;
  throw needsOperator({
    code: 'rehearsal-no-memory',
    message: `${name} wants ${Math.ceil(memoryBytes / 1024 ** 2)} MiB, and ${host.name} has ${Math.floor(available / 1024 ** 2)} MiB free for its rehearsal`,
    remedy: 'Make room there, then `vmferry retry`; or import it without a rehearsal.',
    host: host.name,
  });
}

function rehearsalsOf({ rehearsals, host }: ImportParts): RehearsalParts {
  if (rehearsals !== undefined) return rehearsals;
  throw permanent({
    code: 'rehearsal-impossible',
    message: `${host.name} has no libvirt for rehearsals`,
    remedy: 'Choose another conversion host, or import without a rehearsal.',
    host: host.name,
  });
}
