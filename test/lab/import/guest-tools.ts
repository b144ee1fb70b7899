/** What conversions of whole guests need beyond the lab. */
import { whichProgram } from '../../../bench/programs.ts';
import { newestKernel } from '../../../convert/acceleration.ts';

/** In a sentence for who skips a test; empty: all is there. */
export async function missingGuestTools(programs: readonly string[]): Promise<string> {
  const all = ['virt-v2v-in-place', 'guestfish', ...programs];
  const found = await Promise.all(all.map(whichProgram));
  const absent = all.filter((_, at) => found[at] === undefined);
  if ((await newestKernel()) === undefined) absent.push('a kernel in /boot');
  return absent.length === 0 ? '' : `not on this machine: ${absent.join(', ')}`;
}
