import { readFile, stat } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import type { PolicySource, PolicyState } from '../activities/policy-denied.ts';
import { tryParseByteRate } from '../config/units.ts';
import { openPolicy, policyVerbs } from '../domain/policy.ts';
import type { Policy } from '../domain/policy.ts';

/** Where the policy of a host is looked for unless its configuration names another file. */
const usualFile = '/etc/vmferry/policy.yaml';
/** A file beyond this is no policy. */
const maxBytes = 256 * 1024;
/** YAML aliases can multiply: this many are more than any honest file has. */
const maxAliasCount = 100;
const maxPatterns = 1_000;

const pattern = z.string().min(1).max(255);
const patterns = z.array(pattern).max(maxPatterns);
const rate = z.union([z.literal(0), z.string()]).transform((value, context) => {
  const parsed = value === 0 ? 0 : tryParseByteRate(value);
  if (parsed !== undefined) return parsed;
  context.issues.push({
    code: 'custom',
    message: 'expected a rate such as 100MiB/s',
    input: value,
  });
  return z.NEVER;
});

const fileSchema = z.strictObject({
  verbs: z.partialRecord(z.enum(policyVerbs), z.boolean()).default({}),
  peers: patterns.default(['*']),
  pools: patterns.optional(),
  paths: z
    .array(pattern.regex(/^[^\0]*$/))
    .max(maxPatterns)
    .optional(),
  operators: z
    .strictObject({ allow: patterns.default(['*']), deny: patterns.default([]) })
    .prefault({}),
  bandwidth: rate.default(0),
});

export interface PolicyFileOptions {
  /** What the configuration names; then a missing file is an error. */
  path?: string;
  /** For tests. */
  usual?: string;
}

/**
 * A host's policy file, read anew whenever it changes. Absent where nobody named it: everything is allowed. A file that
 * is broken, that others than its owner may write, or that was there and is gone, lets nothing new in.
 */
export class PolicyFile implements PolicySource {
  readonly #path: string;
  readonly #named: boolean;
  #seen: { mark: string; state: PolicyState } | undefined;

  constructor({ path, usual = usualFile }: PolicyFileOptions) {
    this.#path = path ?? usual;
    this.#named = path !== undefined;
  }

  async current(): Promise<PolicyState> {
    try {
      const { ino, size, mtimeNs, ctimeNs, mode, uid } = await stat(this.#path, { bigint: true });
      const mark = [ino, size, mtimeNs, ctimeNs].join(':');
      if (this.#seen?.mark === mark) return this.#seen.state;
      const state = await this.#read({ size: Number(size), mode: Number(mode), uid: Number(uid) });
      this.#seen = { mark, state };
      return state;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return this.#broken(error);
      if (this.#named) return this.#broken('the configuration names it, and it is not there');
      if (this.#seen !== undefined)
        return this.#broken('it was there and is gone; if that is meant, restart the worker');
      return { state: 'read', policy: openPolicy(this.#path) };
    }
  }

  async #read(facts: { size: number; mode: number; uid: number }): Promise<PolicyState> {
    if (facts.size > maxBytes) return this.#broken(`it is larger than ${maxBytes / 1024} KiB`);
    if ((facts.mode & 0o022) !== 0)
      return this.#broken('others than its owner may write it; `chmod go-w` it');
    if (facts.uid !== 0 && facts.uid !== process.getuid?.())
      return this.#broken('it belongs neither to root nor to the user of the worker');
    try {
      const text = await readFile(this.#path, 'utf8');
      const said: unknown = parse(text, { maxAliasCount, prettyErrors: true }) ?? {};
      const parsed = fileSchema.safeParse(said);
      if (!parsed.success) return this.#broken(firstProblem(parsed.error));
      return { state: 'read', policy: this.#policyOf(parsed.data) };
    } catch (error) {
      return this.#broken(error);
    }
  }

  #policyOf(said: z.output<typeof fileSchema>): Policy {
    const open = openPolicy(this.#path);
    const { peers, pools, paths, operators, bandwidth } = said;
    const verbs = { ...open.verbs };
    for (const verb of policyVerbs) verbs[verb] = said.verbs[verb] ?? open.verbs[verb];
    return {
      ...open,
      verbs,
      peers,
      operators,
      bandwidthBytesPerSecond: bandwidth,
      ...(pools === undefined ? {} : { pools }),
      ...(paths === undefined ? {} : { paths }),
    };
  }

  #broken(why: unknown): PolicyState {
    const words = why instanceof Error ? why.message : String(why);
    // YAML's complaints show the place over several lines; one sentence is enough for a message.
    const reason = words.split('\n')[0]?.replace(/:$/, '') ?? words;
    return { state: 'broken', file: this.#path, reason };
  }
}

function firstProblem({ issues }: z.ZodError): string {
  const [first] = issues;
  if (first === undefined) return 'it is not a policy';
  const where = first.path.length === 0 ? 'the file' : `\`${first.path.join('.')}\``;
  return `${where}: ${first.message}`;
}
