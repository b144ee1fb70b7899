/** Builds `dist/workflow-bundle.js` once, so that a control worker starts in under a second. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import { failureConverterPath } from '../client/payload-codec.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
export const bundlePath = join(root, 'dist/workflow-bundle.js');
/** The rooms whose code ends up in the bundle. */
const rooms = ['workflows', 'domain'];

/** Bundles the workflows; a stray import of something that is not allowed in them fails here. */
export async function buildBundle(): Promise<string> {
  const mark = await sourcesMark();
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'workflows/index.ts'),
    failureConverterPath,
  });
  // Before the source map, which the SDK takes to reach to the end of the code.
  return code.replace(/\n(?=\/\/# sourceMappingURL=[^\n]*\s*$)/, () => `\n${mark}\n`);
}

/** The prebuilt bundle if it is of these sources, else one made now. */
export async function currentBundle(): Promise<string> {
  const prebuilt = await readFile(bundlePath, 'utf8').catch(() => undefined);
  return prebuilt !== undefined && (await isOfTheseSources(prebuilt)) ? prebuilt : buildBundle();
}

/** Whether a bundle was made of the sources as they are now: workflows of another version would break running moves. */
export const isOfTheseSources = async (code: string): Promise<boolean> =>
  code.includes(`\n${await sourcesMark()}\n`);

const sourcesMark = async (): Promise<string> => `// sources ${await sourcesHash()}`;

/** SHA-256 over all that ends up in the bundle, hexadecimal. */
export async function sourcesHash(): Promise<string> {
  const hash = createHash('sha256');
  for (const room of rooms) {
    const names = await readdir(join(root, room), { recursive: true });
    for (const name of names.filter((each) => each.endsWith('.ts')).sort()) {
      hash.update(`${room}/${name}\0`).update(await readFile(join(root, room, name)));
    }
  }
  return hash.digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await mkdir(join(root, 'dist'), { recursive: true });
  await writeFile(bundlePath, await buildBundle());
}
