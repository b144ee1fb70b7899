import { Handling, VmFerryError } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import { harmless, padEnd, wrap } from './render/text.ts';
import type { View } from './render/theme.ts';

/** An error of how the person called vmferry; exit code 2. */
export const usageError = (message: string, remedy: string): VmFerryError =>
  new VmFerryError(Handling.permanent, { code: 'usage', message, remedy });

const isFault = (error: object): error is Fault =>
  'code' in error &&
  typeof error.code === 'string' &&
  'handling' in error &&
  typeof error.handling === 'string' &&
  'remedy' in error &&
  typeof error.remedy === 'string';

/** Whatever was thrown, as something that a person can act on. An unknown error is a defect of vmferry. */
export function faultOf(error: unknown): Fault {
  if (error instanceof VmFerryError) return error.toFault();
  if (error instanceof Error && isFault(error)) {
    const { code, handling, message, remedy } = error;
    return {
      code,
      handling,
      message,
      remedy,
      ...(error.host === undefined ? {} : { host: error.host }),
    };
  }
  return {
    code: 'unexpected',
    handling: Handling.transient,
    message: error instanceof Error ? error.message : String(error),
    remedy:
      'This error was not foreseen; run again with `--log-level debug` for its trace, and report it.',
  };
}

/** `error: what`, `host: ...`, `remedy: ...`; labels aligned, long text wrapped under itself. */
export function faultLines(fault: Fault, view: View): string[] {
  const entries: [string, string][] = [['error', fault.message]];
  if (fault.host !== undefined) entries.push(['host', fault.host]);
  if (fault.remedy !== '') entries.push(['remedy', fault.remedy]);
  const indent = 8;
  return entries.flatMap(([label, text]) =>
    // A message may be a list, one finding a line, as for a configuration file.
    text.split('\n').flatMap((part, index) => {
      const lines = wrap(harmless(part), view.width - indent);
      return lines.map((line, row) => {
        if (index > 0 || row > 0) return ' '.repeat(indent) + line;
        const style = label === 'error' ? (['bold', 'red'] as const) : 'bold';
        return view.theme.paint(style, `${label}:`) + padEnd('', indent - label.length - 1) + line;
      });
    }),
  );
}
