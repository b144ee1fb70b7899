/*
 * Copies one disk in a process of its own, which the test kills: argv is a JSON object.
 * Says `safe <bytes>` on standard output as the copy goes on.
 */
import { copyDisk } from '../../../transfer/copy.ts';
import { openFileSink } from '../../../transfer/file-sink.ts';
import { Journal, journalPathFor } from '../../../transfer/journal.ts';
import { openNbdSource } from '../../../transfer/nbd-source.ts';

const { socket, target, chunkBytes } = JSON.parse(process.argv[2] ?? '') as {
  socket: string;
  target: string;
  chunkBytes: number;
};

const source = await openNbdSource({
  what: 'disk vda',
  address: { path: socket },
  exportName: 'vda',
});
const { sizeBytes } = source;
const sink = await openFileSink({ path: target, sizeBytes });
const journal = await Journal.open({
  path: journalPathFor(target),
  header: { moveId: 'm', diskName: 'vda', sizeBytes, fingerprint: 'f', chunkBytes },
  targetStartsZeroed: sink.startsZeroed,
});
const ticks = setInterval(() => process.stdout.write(`safe ${journal.safe.bytes}\n`), 5);
const result = await copyDisk({ source, sink, journal });
clearInterval(ticks);
process.stdout.write(`${JSON.stringify({ done: result })}\n`);
await journal.close();
await sink.close();
await source.close();
