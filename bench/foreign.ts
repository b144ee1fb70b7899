import { vcenterShortcoming } from '../lab/vcenter/program.ts';
import type { BenchContext, BenchGroup, Measured } from './benchmark.ts';
import { ForeignStage } from './foreign-stage.ts';
import { inTurn } from './in-turn.ts';
import { findPrograms } from './programs.ts';

const folderName = 'vcenter-folder/nbdkit';
const sshName = 'ssh/nbdkit';
const programs: Readonly<Record<string, string[]>> = {
  [folderName]: ['nbdkit', 'nbdcopy'],
  [sshName]: ['nbdkit', 'nbdcopy', 'qemu-img', 'sshd', 'ssh-keygen', 'unshare'],
};

async function against(
  context: BenchContext,
  name: string,
  stage: ForeignStage,
): Promise<Measured> {
  const way = name === sshName ? await stage.sshWay() : await stage.folderWay();
  context.showCommand(name, stage.peerLine(way.plugin));
  return inTurn(context, name, {
    check: (who) => stage.check(who),
    ours: () => stage.copy(way.options),
    peer: () => stage.timePeer(way.plugin),
  });
}

/** Copies from a vCenter into a file here, against nbdkit's plugins and nbdcopy. */
export const foreign: BenchGroup = {
  names: { [folderName]: 's', [sshName]: 's' },
  missing: async () => {
    const missing: Record<string, string> = {};
    const vcenter = await vcenterShortcoming();
    for (const [name, needed] of Object.entries(programs)) {
      const absent = await findPrograms(needed);
      if (vcenter !== undefined) missing[name] = vcenter;
      else if (absent.length > 0) missing[name] = `${absent.join(', ')} not found in PATH`;
    }
    return missing;
  },
  run: async (context, names, done) => {
    const stage = await ForeignStage.open(context);
    for (const name of names) done(await against(context, name, stage));
  },
};
