/** What a host's own policy file lets moves do there: a pure rule table, whoever asks. `docs/policy.md` tells of it. */

export const policyVerbs = [
  'move-away',
  'move-here',
  'remove-source',
  'force-off',
  'remove-orphan',
] as const;
/**
 * `move-away`: a VM may leave. `move-here`: one may come. `remove-source`: a commit may delete what left.
 * `force-off`: a guest may be powered off. `remove-orphan`: a person may have left-over volumes deleted.
 */
export type PolicyVerb = (typeof policyVerbs)[number];

export interface Policy {
  /** Path of the file, for messages. */
  file: string;
  verbs: Record<PolicyVerb, boolean>;
  /** Patterns of host names; `*` stands for anything. */
  peers: readonly string[];
  /** Names of pools; undefined: all. */
  pools?: readonly string[];
  /** Folders that disks may lie in; undefined: all. */
  paths?: readonly string[];
  operators: { allow: readonly string[]; deny: readonly string[] };
  /** Ceiling of all copies to this host together, bytes a second; 0 is none. */
  bandwidthBytesPerSecond: number;
}

/** The policy of a host without a file: everything is allowed. */
export const openPolicy = (file: string): Policy => ({
  file,
  verbs: {
    'move-away': true,
    'move-here': true,
    'remove-source': true,
    'force-off': true,
    'remove-orphan': true,
  },
  peers: ['*'],
  operators: { allow: ['*'], deny: [] },
  bandwidthBytesPerSecond: 0,
});

/** What is about to be done. What is absent does not matter to the act. */
export interface PolicyAct {
  verbs: readonly PolicyVerb[];
  /** The host on the other side. */
  peer?: string;
  /** Who asked; an empty text is an operator that nobody knows. */
  operator?: string;
  disks?: readonly PolicyDisk[];
}

export interface PolicyDisk {
  /** Resolved: no `..`, no symbolic link. */
  path: string;
  /** Empty if it lies in none, undefined if it is not asked for. */
  pool?: string;
}

/** One rule that forbids the act. */
export interface Denial {
  /** Key in the file: `peers`, `verbs.move-away`. */
  rule: string;
  /** A clause: `moves with gamma are not allowed`. */
  what: string;
}

/** Everything in the policy that forbids the act; empty if nothing does. */
export function denials(policy: Policy, act: PolicyAct): Denial[] {
  const found: Denial[] = act.verbs
    .filter((verb) => !policy.verbs[verb])
    .map((verb) => ({ rule: `verbs.${verb}`, what: verbWords[verb] }));
  const { peer, operator } = act;
  if (peer !== undefined && !policy.peers.some((pattern) => matches(pattern, peer)))
    found.push({ rule: 'peers', what: `moves with host ${peer} are not allowed` });
  if (operator !== undefined) found.push(...operatorDenials(policy, operator));
  for (const disk of act.disks ?? []) found.push(...diskDenials(policy, disk));
  return found;
}

const verbWords: Record<PolicyVerb, string> = {
  'move-away': 'VMs may not be moved away',
  'move-here': 'VMs may not be moved here',
  'remove-source': 'what was moved away may not be removed',
  'force-off': 'guests may not be powered off',
  'remove-orphan': 'left-over volumes may not be removed',
};

function operatorDenials({ operators }: Policy, operator: string): Denial[] {
  const who = operator === '' ? 'somebody whose name is not known' : operator;
  const denied = operators.deny.find((pattern) => matches(pattern, operator));
  if (denied !== undefined)
    return [{ rule: 'operators.deny', what: `orders of ${who} are refused (${denied})` }];
  if (operators.allow.some((pattern) => matches(pattern, operator))) return [];
  return [{ rule: 'operators.allow', what: `${who} is not among those who may give orders` }];
}

function diskDenials({ pools, paths }: Policy, { path, pool }: PolicyDisk): Denial[] {
  const found: Denial[] = [];
  if (pools !== undefined && pool !== undefined && !pools.includes(pool)) {
    const where = pool === '' ? 'lies in no pool' : `lies in pool ${pool}, which is not listed`;
    found.push({ rule: 'pools', what: `the disk ${path} ${where}` });
  }
  if (paths !== undefined && path !== '' && !paths.some((folder) => liesIn(path, folder)))
    found.push({ rule: 'paths', what: `the disk ${path} lies in no folder that is listed` });
  return found;
}

/** Whether `*` in the pattern can stand for what makes it equal to the text. */
export function matches(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === text;
  if (!text.startsWith(first)) return false;
  const last = rest.pop() ?? '';
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

const liesIn = (path: string, folder: string): boolean => {
  if (path.split('/').includes('..')) return false;
  const base = folder.endsWith('/') ? folder : `${folder}/`;
  return path === folder || path.startsWith(base);
};
