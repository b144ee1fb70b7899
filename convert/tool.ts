/** The installed virt-v2v-in-place: asked what it can do, never guessed from its version. */
import { needsOperator } from '../domain/errors.ts';
import { newestKernel, type Acceleration } from './acceleration.ts';
import { runLabelled } from './labelled-process.ts';
import { programEnvironment } from './qemu-img.ts';

export interface ConversionTool {
  program: string;
  /** As it says: `2.2.0`. For people and reports. */
  version: string;
  /** Long options, without dashes: `key`, `mac`, `machine-readable`, `no-fstrim`. */
  options: ReadonlySet<string>;
  /** Input modes: `disk`, `libvirtxml`. */
  inputs: ReadonlySet<string>;
  /** `--key all:...` tries one key on every device. */
  anyDeviceKey: boolean;
  acceleration: Acceleration;
}

export interface DetectOptions {
  /** Marks the processes that are started. */
  id: string;
  acceleration: Acceleration;
  /** `virt-v2v-in-place` if absent. */
  program?: string;
  signal?: AbortSignal;
}

const askLimitMs = 60_000;
const maxHelpLength = 256 * 1024;

/** Throws `conversion-tool-missing`, `conversion-tool-too-old`. */
export async function detectTool(options: DetectOptions): Promise<ConversionTool> {
  const program = options.program ?? 'virt-v2v-in-place';
  const ask = async (argument: string): Promise<string> => {
    let said = '';
    const { status } = await runLabelled({
      id: options.id,
      program,
      args: [argument],
      env: programEnvironment(),
      cwd: '/',
      limitMs: askLimitMs,
      ...(options.signal && { signal: options.signal }),
      onOutput: (text) => (said = (said + text).slice(0, maxHelpLength)),
    });
    if (status === 0) return said;
    throw needsOperator({
      code: 'conversion-tool-missing',
      message: `${program} ${argument} does not work on this host`,
      remedy: 'Install virt-v2v (Debian: virt-v2v), then `vmferry retry`.',
    });
  };
  const version = await ask('--version');
  const tool = { ...parseHelp(await ask('--help')), program, acceleration: options.acceleration };
  const numbers = parseVersion(version);
  if (numbers === '' || !tool.inputs.has('libvirtxml')) {
    throw needsOperator({
      code: 'conversion-tool-too-old',
      message: `${program} (${version.trim().slice(0, 100)}) cannot convert disks that it gets as libvirt XML`,
      remedy: 'Install virt-v2v 2.0 or later, then `vmferry retry`.',
    });
  }
  return { ...tool, version: numbers };
}

/** `virt-v2v-in-place 2.2.0rhel=9,release=...`: the numbers; empty if there are none. */
export const parseVersion = (text: string): string =>
  /\bvirt-v2v\S* (\d+(?:\.\d+)+)/.exec(text)?.[1] ?? '';

/** What a `--help` offers. */
export function parseHelp(
  text: string,
): Pick<ConversionTool, 'options' | 'inputs' | 'anyDeviceKey'> {
  const options = new Set<string>();
  const inputs = new Set<string>();
  for (const line of text.split('\n')) {
    // An option's line begins with dashes after its indentation; explanations stand further right.
    const declared = /^\s{1,8}(-.*)$/.exec(line)?.[1];
    if (declared === undefined) continue;
    for (const [, name = ''] of declared.matchAll(/(?:^|, )--([a-z][a-z0-9-]*)/g))
      options.add(name);
    const modes = /^-i <([a-z|]+)>/.exec(declared)?.[1];
    for (const mode of modes?.split('|') ?? []) inputs.add(mode);
  }
  return { options, inputs, anyDeviceKey: /--key\b[^]*?\ball:/.test(text) };
}

/** What libguestfs needs to make its appliance, as far as can be seen without the minute that making it takes. */
export interface ApplianceShortcoming {
  what: string;
  remedy: string;
}

/** Empty: nothing is known that stands in the way. */
export async function applianceShortcomings(bootFolder?: string): Promise<ApplianceShortcoming[]> {
  const kernel = await newestKernel(bootFolder);
  if (kernel !== undefined) return [];
  return [
    {
      what: 'there is no kernel in /boot for the appliance of libguestfs',
      remedy: 'Install one (Debian: linux-image-cloud-amd64); it need not be the one that runs.',
    },
  ];
}
