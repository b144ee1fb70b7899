/** The configuration in the form of its file, for people; secrets have no place in it, and arguments may be some. */
import type { Config } from '../config/schema.ts';
import { formatByteRate, tryParseByteRate } from '../config/units.ts';

/** `exec:/usr/bin/pass show x` -> `exec:/usr/bin/pass ...` */
function withoutArguments(value: unknown): unknown {
  if (typeof value === 'string')
    return /^exec:\S+\s/u.test(value) ? value.replace(/\s.*$/su, ' ...') : value;
  if (Array.isArray(value)) return value.map(withoutArguments);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [key, withoutArguments(part)]),
  );
}

const rateAsWritten = (rate: number): string | number => {
  if (rate === 0) return 0;
  const short = formatByteRate(rate);
  return tryParseByteRate(short) === rate ? short : `${rate}B/s`;
};

/** As a file could say it: what is shown can be used again, but for arguments of `exec:` references. */
export function asWritten(config: Config): Record<string, unknown> {
  const { host, codecServer, ...rest } = config;
  const shown = {
    ...rest,
    ...(host === undefined
      ? {}
      : {
          host: {
            ...host,
            exportPorts: `${host.exportPorts.first}-${host.exportPorts.last}`,
            limits: { ...host.limits, bandwidth: rateAsWritten(host.limits.bandwidth) },
            conversion: {
              ...host.conversion,
              limits: {
                down: rateAsWritten(host.conversion.limits.down),
              },
            },
          },
        }),
    ...(codecServer === undefined
      ? {}
      : { codecServer: { ...codecServer, listen: addressOf(codecServer.listen) } }),
  };
  return withoutArguments(shown) as Record<string, unknown>;
}

const addressOf = ({ host, port }: { host: string; port: number }): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
