/** Commits a conversion's overlays and kills itself at a step: `folder step occurrence [disk ...]`. */
import { basename, join } from 'node:path';
import { commitOverlays } from '../../../convert/commit.ts';
import { ConversionJournal } from '../../../convert/journal.ts';
import { journalDisks } from '../../../convert/overlay.ts';
import { conversionPaths } from '../../../convert/guestfs-environment.ts';
import type { ConversionDisk } from '../../../convert/overlay.ts';

const [folder = '', id = '', disks = '[]', step = '', occurrence = '1'] = process.argv.slice(2);
const parsed = JSON.parse(disks) as ConversionDisk[];
const journal = await ConversionJournal.open(conversionPaths(join(folder)).journal, {
  id,
  disks: journalDisks(folder, parsed),
});
let seen = 0;
await commitOverlays(journal, {
  id,
  onStep: (_key, at) => {
    if (at !== step) return;
    seen += 1;
    if (seen === Number(occurrence)) process.kill(process.pid, 'SIGKILL');
  },
});
await journal.close();
process.stdout.write(`committed ${basename(folder)}\n`);
