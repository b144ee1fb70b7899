import { atBoundary } from './boundary.ts';
import type { Attempt } from './boundary.ts';
import type { HostParts } from './parts.ts';
import type { Gate } from './policy-gate.ts';

/** Makes verbs of a host: each goes through the boundary and, where there is a gate, through the host's policy. */
export const gatedVerbs =
  ({ name: host }: Pick<HostParts, 'name'>, gate: Gate | undefined) =>
  <I, O>(name: string, run: (input: I, attempt: Attempt) => Promise<O>) =>
  (input: I): Promise<O> =>
    atBoundary({ host, verb: name }, (attempt) =>
      gate === undefined
        ? run(input, attempt)
        : gate.through(name, input, () => run(input, attempt)),
    );
