/** The parts behind the commands, each loaded when a command first needs it: `--help` needs none. */
import type { Config } from '../config/schema.ts';
import { connectFrom, readKeys } from './connect.ts';
import type { Backend, Globals } from './session.ts';

async function loadConfig(globals: Globals): Promise<Config> {
  const { loadConfig: load } = await import('../config/load.ts');
  const path = globals.config;
  const config = load({ env: process.env, ...(path === undefined ? {} : { path }) });
  // commander has checked the word against the same list.
  const level = globals.logLevel as Config['log']['level'] | undefined;
  return level === undefined ? config : Object.freeze({ ...config, log: Object.freeze({ level }) });
}

/** The real parts; `runWorker` resolves once its process was told to stop and has stopped. */
export const backend: Backend = {
  loadConfig,
  connect: connectFrom,
  readKeys,
  runWorker: async (kind, config) => {
    switch (kind) {
      case 'control':
        await (await import('../workers/control.ts')).runControl(config);
        break;
      case 'host':
        await (await import('../workers/host.ts')).runHost(config);
        break;
      case 'codec-server':
        await (
          await import('../workers/codec-server-process.ts')
        ).runCodecServer(config, (url) => process.stderr.write(`codec server at ${url}\n`));
        break;
    }
  },
};
