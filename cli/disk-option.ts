/** `--disk NAME:pool=P,format=F`: how one disk goes its own way. */
import { InvalidArgumentError } from 'commander';
import type { MoveRequest } from '../domain/move.ts';
import type { DiskFormat } from '../domain/vm.ts';
import { usageError } from './fault.ts';

/** Formats that a copy can be written in. */
export const formats = ['raw', 'qcow2'] as const satisfies readonly DiskFormat[];

type DiskChoices = NonNullable<MoveRequest['disks']>;

const form = 'NAME:pool=POOL,format=FORMAT, with at least one of the two';

const isFormat = (text: string): text is DiskFormat => formats.some((known) => known === text);

/** Adds what one `--disk` says; for commander, so it throws InvalidArgumentError. */
export function readDisk(text: string, before: DiskChoices = {}): DiskChoices {
  const colon = text.indexOf(':');
  const name = text.slice(0, Math.max(0, colon));
  if (name === '') throw new InvalidArgumentError(`Expected ${form}.`);
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`${name} was named before.`);
  const choice: DiskChoices[string] = {};
  for (const part of text.slice(colon + 1).split(',')) {
    const [key, value] = splitOnce(part, '=');
    if (value === '') throw new InvalidArgumentError(`Expected ${form}.`);
    if (key === 'pool' && choice.pool === undefined) choice.pool = value;
    else if (key === 'format' && choice.format === undefined && isFormat(value))
      choice.format = value;
    else if (key === 'format')
      throw new InvalidArgumentError(`${name} can be written as ${formats.join(' or ')}, once.`);
    else throw new InvalidArgumentError(`${name} has ${key} twice, or it is unknown; ${form}.`);
  }
  return { ...before, [name]: choice };
}

function splitOnce(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** Choices that cannot both be meant. Throws `usage`. */
export function assertChoicesFit(choices: {
  storage: string;
  disks: DiskChoices;
  sharedDisks: readonly string[];
}): void {
  const { storage, disks, sharedDisks } = choices;
  const both = sharedDisks.find((name) => Object.hasOwn(disks, name));
  if (both !== undefined) {
    throw usageError(
      `${both} cannot be shared and go to another pool or format`,
      'Name the disk with --shared-disk or with --disk, not with both.',
    );
  }
  if (storage === 'copy' && sharedDisks.length > 0) {
    throw usageError(
      '--storage copy copies every disk, and --shared-disk says that one is not to be copied',
      'Leave one of the two out.',
    );
  }
  if (storage === 'shared' && Object.keys(disks).length > 0) {
    throw usageError(
      '--storage shared copies no disk, and --disk says how one is to be copied',
      'Leave one of the two out.',
    );
  }
}
