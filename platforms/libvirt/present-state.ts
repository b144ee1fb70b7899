/** What of a VM's kept state is really on the host: a VM that never ran has none of it. */
import { join } from 'node:path';
import type { KeptState, VmFacts } from '../../domain/vm.ts';
import type { DefinedFacts } from './domain-facts.ts';
import { isStateThere } from './state-files.ts';

/**
 * The kept state that is there. Without variables of its own the VM needs their template where it starts next, which
 * then is a file of the host like any other. `fileRoot` is where the host's files are seen from here.
 */
export async function presentState(
  { keptState, hostFiles, nvramTemplate }: DefinedFacts,
  fileRoot: string,
): Promise<Pick<VmFacts, 'keptState' | 'hostFiles'>> {
  const found: KeptState[] = [];
  for (const kept of keptState) {
    if (await isStateThere(join(fileRoot, kept.path))) found.push(kept);
  }
  const hasVariables = [...found, ...hostFiles].some(({ role }) => role === 'nvram');
  return hasVariables || !nvramTemplate.startsWith('/')
    ? { keptState: found, hostFiles }
    : { keptState: found, hostFiles: [...hostFiles, { role: 'other', path: nvramTemplate }] };
}
