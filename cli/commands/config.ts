/** `vmferry config`: the configuration file checked, shown and described, without any connection. */
import { Command } from 'commander';
import type { Config } from '../../config/schema.ts';
import type { ConfigProblem } from '../../config/problems.ts';
import { ExitCode } from '../exit-code.ts';
import { outputOption } from '../options.ts';
import { harmless, wrap } from '../render/text.ts';
import type { Session } from '../session.ts';

interface Found {
  file: string;
  config?: Config;
  problems: readonly ConfigProblem[];
}

/** Reads the file that `--config` and the environment name, or `path`. Throws `config-missing`, `config-unreadable`. */
async function look(session: Session, path: string | undefined): Promise<Found> {
  const { findConfig, loadConfig } = await import('../../config/load.ts');
  const { ConfigError } = await import('../../config/problems.ts');
  const named = path ?? session.globals.config;
  const options = {
    env: { ...session.terminal.env },
    ...(named === undefined ? {} : { path: named }),
  };
  const file = findConfig(options);
  try {
    return { file, config: loadConfig(options), problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { file, problems: error.problems };
  }
}

/** What processes the sections of a file are enough for. */
function servedBy(config: Config | undefined): string[] {
  if (config === undefined) return [];
  const encrypted = config.encryption !== undefined;
  return [
    ...(encrypted ? ['client', 'control'] : []),
    ...(encrypted && config.host !== undefined ? ['host'] : []),
    ...(encrypted && config.codecServer !== undefined ? ['codec-server'] : []),
  ];
}

async function check(session: Session, path: string | undefined): Promise<void> {
  const { file, config, problems } = await look(session, path);
  const serves = servedBy(config);
  if (problems.length > 0) session.exitCode = ExitCode.usage;
  if (session.output === 'json') {
    session.printJson({ file, ok: problems.length === 0, problems, serves });
    return;
  }
  const { theme, width } = session.view;
  if (problems.length > 0) {
    session.print(
      problems.flatMap(({ line, column, key, message, remedy }) => {
        const subject = key === '' ? '' : `${key}: `;
        const head = theme.paint('red', `${file}:${line}:${column}:`);
        const text = wrap(harmless(`${subject}${message}. ${remedy}`), width - 4);
        return [head, ...text.map((one) => `    ${one}`)];
      }),
    );
    return;
  }
  const enough =
    serves.length === 0
      ? 'It has no `encryption`, which every process but the guard needs.'
      : `It is enough for: ${serves.join(', ')}.`;
  session.print([theme.paint('green', `${theme.glyphs.done} ${harmless(file)} is sound.`), enough]);
}

async function show(session: Session): Promise<void> {
  const { loadConfig } = await import('../../config/load.ts');
  const { file, config } = await look(session, undefined);
  // The file's problems are told in the form of all errors.
  const used = config ?? loadConfig({ path: file });
  const { asWritten } = await import('../config-as-written.ts');
  const written = asWritten(used);
  if (session.output === 'json') {
    session.printJson({ file, config: written });
    return;
  }
  const { stringify } = await import('yaml');
  session.print([`# ${harmless(file)}, with defaults`, stringify(written).trimEnd()]);
}

async function schema(session: Session): Promise<void> {
  const { configJsonSchema } = await import('../../config/json-schema.ts');
  session.printJson(configJsonSchema());
}

/** `vmferry config check [FILE] | show | schema` */
export const configCommand = (session: Session): Command => {
  const config = new Command('config').summary('check, show and describe the configuration');
  config
    .command('check')
    .summary('say everything that is wrong in a file')
    .description(
      'Says everything that is wrong in a configuration file, with line and remedy; exit code 2 then.',
    )
    .argument('[file]', 'the file; without it the one that would be used')
    .addOption(outputOption())
    .action((file: string | undefined) => check(session, file));
  config
    .command('show')
    .summary('show the values in effect, without secrets')
    .description(
      'Shows the values in effect in the form of the file. Of `exec:` references only the program is shown, since arguments may be secret.',
    )
    .addOption(outputOption())
    .action(() => show(session));
  config
    .command('schema')
    .summary('print the JSON Schema of the file')
    .action(() => schema(session));
  return config;
};
