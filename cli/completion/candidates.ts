/** What can stand at the end of a command line that is being typed. */
import type { Command, Option } from 'commander';
import type { Ferry } from '../ferry.ts';

/** One thing to offer. The value `:files` stands for the names of files. */
export interface Candidate {
  value: string;
  description: string;
}

/** Asks the fleet; gives nothing where that fails or takes too long. */
export type AskFleet = <T>(
  config: string | undefined,
  ask: (ferry: Ferry) => Promise<T[]>,
) => Promise<T[]>;

const files: Candidate = { value: ':files', description: '' };
const hostOptions = ['--from', '--to', '--host', '--prefer-host', '--on'];
const fileOptions = ['--config', '--dir', '--pki-dir'];

/** How far the words before the last one have come. */
interface Place {
  command: Command;
  /** Positional arguments that are there already. */
  given: number;
  /** The option whose value comes next. */
  pending?: Option;
  /** Values of options so far, by long name. */
  options: Map<string, string>;
}

const optionsOf = (program: Command, command: Command): Option[] =>
  [
    ...command.options,
    ...(impliedBy(command)?.options ?? []),
    ...(command === program ? [] : program.options),
  ].filter(({ hidden }) => !hidden);

/** The one of its commands that runs where none is named; commander keeps its name to itself. */
const impliedBy = (command: Command): Command | undefined =>
  command.commands.find((one) => one.name() === Reflect.get(command, '_defaultCommandName'));

function walk(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, given: 0, options: new Map() };
  for (const word of words) {
    if (place.pending !== undefined) {
      place.options.set(place.pending.long ?? '', word);
      delete place.pending;
      continue;
    }
    if (word.startsWith('-')) {
      const known = optionsOf(program, place.command).find(
        ({ long, short }) => long === word || short === word,
      );
      if (known !== undefined && (known.required || known.optional)) place.pending = known;
      continue;
    }
    const inner = place.command.commands.find((one) => one.name() === word);
    if (inner !== undefined && place.given === 0) place.command = inner;
    else place.given += 1;
  }
  return place;
}

/** What fits at the end of `words`, the last of which is being typed (`''` at its beginning). */
export async function candidates(
  program: Command,
  words: readonly string[],
  ask: AskFleet,
): Promise<Candidate[]> {
  const current = words.at(-1) ?? '';
  const place = walk(program, words.slice(0, -1));
  const all = await offered(program, place, current, ask);
  return all.filter(({ value }) => value === files.value || value.startsWith(current));
}

async function offered(
  program: Command,
  place: Place,
  current: string,
  ask: AskFleet,
): Promise<Candidate[]> {
  if (place.pending !== undefined) return valuesOf(place.pending, place, ask);
  if (current.startsWith('-')) {
    return [
      ...optionsOf(program, place.command).map(({ long, short, description }) => ({
        value: long ?? short ?? '',
        description,
      })),
      { value: '--help', description: 'explain the command' },
    ];
  }
  const inner = place.command.commands
    .filter((command) => !command.name().startsWith('__') && place.given === 0)
    .map((command) => ({ value: command.name(), description: command.summary() }));
  return [...inner, ...(await argumentsOf(place, ask))];
}

async function valuesOf(option: Option, place: Place, ask: AskFleet): Promise<Candidate[]> {
  const long = option.long ?? '';
  if (option.argChoices !== undefined)
    return option.argChoices.map((value) => ({ value, description: '' }));
  if (long === '--output') return ['text', 'json'].map((value) => ({ value, description: '' }));
  if (hostOptions.includes(long)) return hostNames(place, ask);
  if (long === '--provider') return providerNames(place, ask);
  return fileOptions.includes(long) ? [files] : [];
}

async function argumentsOf(place: Place, ask: AskFleet): Promise<Candidate[]> {
  const { registeredArguments } = place.command;
  const last = registeredArguments.at(-1);
  const argument = registeredArguments[place.given] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return [];
  if (argument.argChoices !== undefined)
    return argument.argChoices.map((value) => ({ value, description: '' }));
  const command = place.command.name();
  if (argument.name() === 'vm') return vmNames(place, ask);
  if (argument.name() === 'host') return hostNames(place, ask);
  if (argument.name() === 'id' && place.command.parent?.name() === 'vmferry')
    return moveNames(place, ask, command);
  return ['file', 'bundle'].includes(argument.name()) ? [files] : [];
}

const hostNames = (place: Place, ask: AskFleet): Promise<Candidate[]> =>
  ask(configOf(place), async (ferry) =>
    (await ferry.hosts()).map(({ name, online }) => ({
      value: name,
      description: online ? 'online' : 'offline',
    })),
  );

const vmNames = (place: Place, ask: AskFleet): Promise<Candidate[]> =>
  ask(configOf(place), async (ferry) => {
    const provider = place.options.get('--provider');
    if (provider !== undefined) return foreignNames(ferry, provider);
    const from = place.options.get('--from');
    const { vms } = await ferry.vms(from === undefined ? {} : { hosts: [from] });
    return vms.map(({ name, host, state }) => ({
      value: name,
      description: `${state} on ${host}`,
    }));
  });

/** More than these nobody reads through. */
const mostForeign = 500;

async function foreignNames(ferry: Ferry, provider: string): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for await (const { name, state, path } of ferry.foreignVms(provider)) {
    found.push({ value: name, description: `${state} ${path}`.trim() });
    if (found.length >= mostForeign) break;
  }
  return found;
}

const providerNames = (place: Place, ask: AskFleet): Promise<Candidate[]> =>
  ask(configOf(place), async (ferry) => {
    const { providers } = await ferry.providers({ check: false });
    const byName = new Map(providers.map((one) => [one.name, one]));
    return [...byName.values()].map(({ name, kind, address }) => ({
      value: name,
      description: `${kind} ${address}`,
    }));
  });

/** Orders make sense for moves that are not over; `status` and `explain` for all. */
const moveNames = (place: Place, ask: AskFleet, command: string): Promise<Candidate[]> =>
  ask(configOf(place), async (ferry) => {
    const moves = await ferry.moves({ limit: 50 });
    const looking = command === 'status' || command === 'explain';
    const meant = moves.filter(({ endedAt }) => looking || endedAt === undefined);
    const latest = new Map(meant.toReversed().map((move) => [move.vmName, move]));
    return [...latest.values()].map(({ vmName, source, target, phase }) => ({
      value: vmName,
      description: `${source} to ${target}, ${phase}`,
    }));
  });

const configOf = ({ options }: Place): string | undefined => options.get('--config');
