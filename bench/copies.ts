import { checkMachine } from '../lab/requirements.ts';
import type { ExportEndpoint } from '../activities/contract.ts';
import type { BenchContext, BenchGroup, Measured } from './benchmark.ts';
import { CopyStage } from './copy-stage.ts';
import { inTurn } from './in-turn.ts';
import { findPrograms } from './programs.ts';
import type { Sample } from './result.ts';
import { startSshd } from './sshd.ts';

const seconds = 's';
const pkiDir = '/etc/pki/qemu';

/** The commands of the peers; each ends with its data on stable storage, as ours does. */
const peers = {
  nbdcopy: (uri: string, path: string) => `nbdcopy --flush '${uri}' ${path}`,
  'qemu-img': (source: string, path: string) =>
    `qemu-img convert ${tlsObject} --image-opts -O raw '${source}' ${path} && sync ${path}`,
  'qemu-img-tuned': (source: string, path: string, sizeBytes: number) =>
    `truncate -s ${sizeBytes} ${path} && qemu-img convert ${tlsObject} --image-opts -n --target-is-zero -W -m 16 -O raw '${source}' ${path} && sync ${path}`,
};

const tlsObject = `--object tls-creds-x509,id=tls0,dir=${pkiDir},endpoint=client`;

const tlsUri = ({ address, port, exportName }: ExportEndpoint): string =>
  `nbds://${address}:${port}/${exportName}?tls-certificates=${pkiDir}`;

const tlsImage = ({ address, port, exportName }: ExportEndpoint): string =>
  `driver=nbd,server.type=inet,server.host=${address},server.port=${port},export=${exportName},tls-creds=tls0`;

async function againstNbdcopyPlain(context: BenchContext, stage: CopyStage): Promise<Measured> {
  const name = 'copy-plain/nbdcopy';
  const { uri, close } = await stage.openPlainExport();
  try {
    context.showCommand(name, peers.nbdcopy(uri, stage.pathOf('peer')));
    return await inTurn(context, name, {
      check: (who) => stage.check(who),
      ours: () => stage.copy('plain'),
      peer: async () => stage.time(peers.nbdcopy(uri, await stage.freshTarget('peer'))),
    });
  } finally {
    await close();
  }
}

/** A peer that reads the product's own export over TLS. */
async function againstTlsPeer(
  context: BenchContext,
  stage: CopyStage,
  peer: { name: string; line: (endpoint: ExportEndpoint, path: string) => string },
): Promise<Measured> {
  const endpoint = await stage.openExport();
  try {
    context.showCommand(peer.name, peer.line(endpoint, stage.pathOf('peer')));
    return await inTurn(context, peer.name, {
      check: (who) => stage.check(who),
      ours: () => stage.copy({ endpoint }),
      peer: async () => stage.time(peer.line(endpoint, await stage.freshTarget('peer'))),
    });
  } finally {
    await stage.closeExports();
  }
}

async function againstScp(context: BenchContext, stage: CopyStage): Promise<Measured> {
  const name = 'copy/scp';
  const sshd = await startSshd(stage.source, { client: stage.target, dir: `${context.dir}/ssh` });
  const line = (path: string) => `${sshd.scp(stage.sourcePath, path)} && sync ${path}`;
  const endpoint = await stage.openExport();
  try {
    context.showCommand(name, line(stage.pathOf('peer')));
    return await inTurn(context, name, {
      check: (who) => stage.check(who),
      ours: () => stage.copy({ endpoint }),
      peer: async () => stage.time(line(await stage.freshTarget('peer'))),
    });
  } finally {
    await stage.closeExports();
    await sshd.stop();
  }
}

/** What verification adds, as a part of the copy without it. */
async function verifyShare(context: BenchContext, stage: CopyStage): Promise<Measured> {
  const name = 'verify-share';
  const endpoint = await stage.openExport();
  const samples: Sample[] = [];
  try {
    for (let run = 0; run <= context.runs; run++) {
      context.signal.throwIfAborted();
      const bare = await stage.copy({ endpoint });
      const verified = await stage.verifiedCopy(endpoint);
      const share = (verified - bare) / bare;
      if (run > 0) samples.push({ ours: share });
      const both = `copy ${bare.toFixed(2)} s, with verification ${verified.toFixed(2)} s`;
      context.say(`${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${both}`);
    }
  } finally {
    await stage.closeExports();
  }
  return { name, unit: 'of the copy', samples };
}

type Bench = (context: BenchContext, stage: CopyStage) => Promise<Measured>;

const tlsPeer =
  (
    name: string,
    line: (endpoint: ExportEndpoint, path: string, sizeBytes: number) => string,
  ): Bench =>
  (context, stage) =>
    againstTlsPeer(context, stage, {
      name,
      line: (endpoint, path) => line(endpoint, path, stage.sizeBytes),
    });

const benches: Readonly<Record<string, { bench: Bench; programs: string[]; unit: string }>> = {
  'copy-plain/nbdcopy': {
    bench: againstNbdcopyPlain,
    programs: ['nbdcopy', 'nbdinfo'],
    unit: seconds,
  },
  'copy-tls/nbdcopy': {
    bench: tlsPeer('copy-tls/nbdcopy', (at, path) => peers.nbdcopy(tlsUri(at), path)),
    programs: ['nbdcopy'],
    unit: seconds,
  },
  'copy/qemu-img': {
    bench: tlsPeer('copy/qemu-img', (at, path) => peers['qemu-img'](tlsImage(at), path)),
    programs: ['qemu-img'],
    unit: seconds,
  },
  'copy/qemu-img-tuned': {
    bench: tlsPeer('copy/qemu-img-tuned', (at, path, size) =>
      peers['qemu-img-tuned'](tlsImage(at), path, size),
    ),
    programs: ['qemu-img'],
    unit: seconds,
  },
  'copy/scp': { bench: againstScp, programs: ['scp', 'sshd', 'ssh-keygen'], unit: seconds },
  'verify-share': { bench: verifyShare, programs: [], unit: 'of the copy' },
};

/** Everything that copies one disk from host to host, without Temporal. */
export const copies: BenchGroup = {
  names: Object.fromEntries(Object.entries(benches).map(([name, { unit }]) => [name, unit])),
  missing: async () => {
    const machine = await checkMachine();
    const why = machine.missing
      .map(({ what, remedy }) => `${what} is missing: ${remedy}`)
      .join(' ');
    const missing: Record<string, string> = {};
    for (const [name, { programs }] of Object.entries(benches)) {
      const absent = await findPrograms(programs);
      if (why !== '') missing[name] = why;
      else if (absent.length > 0) missing[name] = `${absent.join(', ')} not found in PATH`;
    }
    return missing;
  },
  run: async (context, names, done) => {
    const stage = await CopyStage.open(context);
    for (const [name, { bench }] of Object.entries(benches)) {
      if (names.has(name)) done(await bench(context, stage));
    }
  },
};
