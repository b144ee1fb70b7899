/** The verdict on an import and, where it may be, the plan: one call for whoever has all the facts. */
import { blocks } from '../../concerns.ts';
import type { Concern } from '../../concerns.ts';
import { VmFerryError } from '../../errors.ts';
import type { ImportPlan, ImportQuestion } from '../../import.ts';
import { planImport } from '../../import/plan.ts';
import { importConcerns } from './concerns.ts';
import type { AlsoKnown } from './concerns.ts';

export interface Judgement {
  concerns: Concern[];
  /** Absent where a concern forbids the import. */
  plan?: ImportPlan;
}

/**
 * Judges by all rules, then plans. Of what `known.said` has nothing is repeated: who got the platform's words has told
 * them already. `newUuid` as for `planImport`.
 */
export function judgeImport(
  question: ImportQuestion,
  { newUuid, ...known }: AlsoKnown & { newUuid: string },
): Judgement {
  const { said = [] } = known;
  const concerns = importConcerns(question, known).slice(said.length);
  if (blocks(concerns) || blocks(said)) return { concerns };
  const { domainType } = question.request.shape;
  try {
    const plan = planImport({
      ...{ ...question, newUuid },
      ...(domainType !== undefined && { domainType }),
    });
    return { concerns, plan };
  } catch (error) {
    // No rule saw it coming; it forbids the import all the same.
    if (!(error instanceof VmFerryError)) throw error;
    const { handling: _, ...fault } = error.toFault();
    return { concerns: [...concerns, { level: 'critical', ...fault }] };
  }
}
