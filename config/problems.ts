import { isMap, isPair, isScalar, isSeq, type Document, type LineCounter } from 'yaml';
import type { z } from 'zod';
import { VmFerryError } from '../domain/errors.ts';
import { configJsonSchema, schemaAt, type JsonSchema } from './json-schema.ts';

/** YAML aliases can multiply: this many are more than any honest file has. */
export const maxAliasCount = 100;

/** One thing wrong with a configuration file. */
export interface ConfigProblem {
  /** 1-based. */
  line: number;
  column: number;
  /** `host.exportPorts`, `encryption.keys[0].id`; empty for the file as a whole. */
  key: string;
  /** What is wrong or what was expected. Never repeats a value. */
  message: string;
  /** What to write instead. */
  remedy: string;
}

/** A configuration file that cannot be used, with everything wrong in it. Code `config-invalid`. */
export class ConfigError extends VmFerryError {
  readonly file: string;
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(({ line, column, key, message, remedy }) => {
      const subject = key === '' ? '' : `${key}: `;
      return `${file}:${line}:${column}: ${subject}${message}. ${remedy}`;
    });
    super('permanent', {
      code: 'config-invalid',
      message: lines.join('\n'),
      remedy: `Correct ${file}; every key is described in docs/configuration.md.`,
    });
    this.file = file;
    this.problems = problems;
  }
}

/** Errors and warnings of the YAML itself: syntax, a key twice, unknown tags. */
export function yamlProblems(document: Document, lines: LineCounter): ConfigProblem[] {
  return [...document.errors, ...document.warnings].map((error) => {
    const { line, col } = lines.linePos(error.pos[0]);
    const twice = error.code === 'DUPLICATE_KEY';
    return {
      line,
      column: col,
      key: '',
      message: twice
        ? 'this key stands here twice'
        : `not valid YAML (${error.code.toLowerCase().replaceAll('_', ' ')})`,
      remedy: twice
        ? 'Keep one of the two.'
        : 'Check indentation, quotes and colons on this line and the one before.',
    };
  });
}

/** The schema's issues, each where the file has it. */
export function schemaProblems(
  issues: readonly z.core.$ZodIssue[],
  { document, lines }: { document: Document; lines: LineCounter },
): ConfigProblem[] {
  const schema = configJsonSchema();
  const file: unknown = document.toJS({ maxAliasCount });
  return issues
    .flatMap((issue): ConfigProblem[] => {
      if (issue.code !== 'unrecognized_keys') {
        const at = schemaAt(schema, issue.path, file);
        return [{ ...place({ document, lines, path: issue.path }), ...valueWords(issue, at) }];
      }
      return issue.keys.map((unknown) => ({
        ...place({ document, lines, path: [...issue.path, unknown], atKey: true }),
        ...unknownWords(unknown, Object.keys(schemaAt(schema, issue.path, file)?.properties ?? {})),
      }));
    })
    .sort((a, b) => a.line - b.line || a.column - b.column);
}

function valueWords(
  issue: z.core.$ZodIssue,
  at: JsonSchema | undefined,
): Pick<ConfigProblem, 'message' | 'remedy'> {
  const example = at?.examples?.[0];
  const known = Object.keys(at?.properties ?? {});
  const remedy =
    example !== undefined
      ? `Write it as in \`${String(issue.path.at(-1) ?? '')}: ${JSON.stringify(example).replaceAll('"', "'")}\`.`
      : known.length > 0
        ? `It takes the keys ${known.join(', ')}.`
        : 'See docs/configuration.md.';
  const message = issue.message.startsWith('Invalid input: ')
    ? issue.message.slice(15)
    : issue.message;
  return { message: isMissing(issue) ? `is missing; ${message}` : message, remedy };
}

const isMissing = (issue: z.core.$ZodIssue): boolean =>
  issue.code === 'invalid_type' && issue.input === undefined;

function unknownWords(unknown: string, known: string[]): Pick<ConfigProblem, 'message' | 'remedy'> {
  const near = nearest(unknown, known);
  return {
    message: 'unknown key',
    remedy: near === undefined ? `Known here: ${known.join(', ')}.` : `Did you mean \`${near}\`?`,
  };
}

/** The known word that a slip of the finger or a wrong case could have meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  const [best] = known
    .map((candidate) => ({
      candidate,
      steps: distance(word.toLowerCase(), candidate.toLowerCase()),
    }))
    .filter(({ steps }) => steps <= limit)
    .sort((a, b) => a.steps - b.steps);
  return best?.candidate;
}

/** Levenshtein's distance, where two neighbours swapped count as one step. Words longer than 64 are cut. */
function distance(a: string, b: string): number {
  const [left, right] = [a.slice(0, 64), b.slice(0, 64)];
  const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, index) => index)];
  const cell = (row: number, column: number): number =>
    rows[row]?.[column] ?? Number.MAX_SAFE_INTEGER;
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= right.length; j++) {
      const same = left[i - 1] === right[j - 1];
      const swapped = left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      row.push(
        Math.min(
          cell(i - 1, j) + 1,
          cell(i, j - 1) + 1,
          cell(i - 1, j - 1) + (same ? 0 : 1),
          swapped ? cell(i - 2, j - 2) + 1 : Number.MAX_SAFE_INTEGER,
        ),
      );
    }
  }
  return cell(left.length, right.length);
}

interface Place {
  document: Document;
  lines: LineCounter;
  path: readonly PropertyKey[];
  /** Point at the key itself rather than at its value. */
  atKey?: boolean;
}

/** Line and column of what stands at a path, or of the nearest thing above it that exists. */
function place({
  document,
  lines,
  path,
  atKey = false,
}: Place): Pick<ConfigProblem, 'line' | 'column' | 'key'> {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, part] of path.entries()) {
    const last = index === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find(
        ({ key }) => isScalar(key) && String(key.value) === String(part),
      );
      if (!isPair(pair)) break;
      offset = (last && !atKey ? startOf(pair.value) : undefined) ?? startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      offset = startOf(node) ?? offset;
    } else {
      break;
    }
  }
  const { line, col } = lines.linePos(offset);
  return { line, column: col, key: pathText(path) };
}

function startOf(node: unknown): number | undefined {
  if (!isMap(node) && !isSeq(node) && !isScalar(node)) return undefined;
  return node.range?.[0];
}

const pathText = (path: readonly PropertyKey[]): string =>
  path
    .map((part, index) =>
      typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
    )
    .join('');
