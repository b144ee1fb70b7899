import { isIP, isIPv4 } from 'node:net';
import { z } from 'zod';
import { absolutePath, address, byteRate, name, reference, says } from './fields.ts';
import { conversion, providers } from './provider-schema.ts';

/*
 * One file serves the CLI, the control worker and the host worker; each reads the sections it needs.
 * Descriptions and examples end up in the JSON Schema and in error messages; no message repeats a value,
 * because somebody may have written a secret where a reference belongs.
 */

const endpoint = (what: string) =>
  z.string(says(what)).transform((text, context) => {
    const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
    const host = match?.[1] ?? match?.[2] ?? '';
    const port = Number(match?.[3]);
    if (
      isIP(host) !== 0 &&
      (match?.[1] !== undefined) !== isIPv4(host) &&
      port >= 0 &&
      port <= 65_535
    ) {
      return { host, port };
    }
    context.issues.push({ code: 'custom', message: `expected ${what}`, input: text });
    return z.NEVER;
  });

const portRangeForm = 'a range of ports FIRST-LAST within 1024-65535';
const portRange = z
  .string(says(portRangeForm))
  .regex(/^\d{4,5}-\d{4,5}$/, says(portRangeForm))
  .transform((text, context) => {
    const [first = 0, last = 0] = text.split('-').map(Number);
    if (first >= 1024 && first <= last && last <= 65_535) return { first, last };
    context.issues.push({ code: 'custom', message: `expected ${portRangeForm}`, input: text });
    return z.NEVER;
  });

const origin = z
  .string(says('an origin SCHEME://HOST[:PORT]'))
  .refine(isOrigin, says('an origin SCHEME://HOST[:PORT] without a path'));

function isOrigin(text: string): boolean {
  return URL.canParse(text) && /^https?:/.test(text) && new URL(text).origin === text;
}

const temporal = z
  .strictObject({
    address: address.default('127.0.0.1:7233').meta({
      description: 'HOST:PORT of the Temporal server’s frontend.',
      examples: ['127.0.0.1:7233'],
    }),
    namespace: name('a namespace')
      .default('default')
      .meta({ description: 'Temporal namespace.', examples: ['default'] }),
    tls: z
      .strictObject({
        ca: absolutePath.optional().meta({
          description: 'CA that signed the server’s certificate; default: the system’s.',
          examples: ['/etc/vmferry/tls/ca.pem'],
        }),
        cert: absolutePath.optional().meta({
          description: 'Own certificate, for mutual TLS.',
          examples: ['/etc/vmferry/tls/client.pem'],
        }),
        key: absolutePath
          .optional()
          .meta({ description: 'Its private key.', examples: ['/etc/vmferry/tls/client-key.pem'] }),
        serverName: z
          .string(says('a host name'))
          .min(1)
          .optional()
          .meta({
            description:
              'Name that the server’s certificate bears, if it is not the one in the address.',
            examples: ['temporal'],
          }),
      })
      .refine(
        ({ cert, key }) => (cert === undefined) === (key === undefined),
        says('`cert` and `key` together, or neither'),
      )
      .optional()
      .meta({
        description: 'TLS to the Temporal server; without this section the connection is plain.',
      }),
    apiKey: reference
      .optional()
      .meta({ description: 'API key, by reference.', examples: ['env:TEMPORAL_API_KEY'] }),
  })
  .meta({ description: 'The Temporal server that holds all durable state.' });

const encryption = z
  .strictObject({
    keys: z
      .array(
        z.strictObject({
          id: name('a key ID').meta({
            description: 'Names the key in every payload it encrypted.',
            examples: ['k1'],
          }),
          key: reference.meta({
            description: '32 bytes, raw or as base64 or hex text, by reference.',
            examples: ['file:/etc/vmferry/payload.key'],
          }),
        }),
        says('a list of keys'),
      )
      .min(1, says('at least one key'))
      .refine(
        (keys) => new Set(keys.map(({ id }) => id)).size === keys.length,
        says('key IDs that differ'),
      )
      .meta({
        description:
          'Every key that may still have to be read. Keep an old one until Temporal’s retention has passed.',
      }),
    active: name('the ID of one of the keys').meta({
      description: 'ID of the key that encrypts from now on.',
      examples: ['k1'],
    }),
  })
  .refine(({ keys, active }) => keys.some(({ id }) => id === active), {
    ...says('the ID of one of the keys'),
    path: ['active'],
  })
  .meta({
    description:
      'Encryption of everything that vmferry stores in Temporal. The same on every worker and client.',
  });

const defaultTlsDir = '/etc/pki/qemu';

const hostTls = z
  .strictObject({
    dir: absolutePath.default(defaultTlsDir).meta({
      description:
        'Folder as QEMU wants it: ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem.',
      examples: [defaultTlsDir],
    }),
    ca: absolutePath.optional().meta({
      description: 'CA of the fleet; default: ca-cert.pem in `dir`.',
      examples: ['/etc/pki/qemu/ca-cert.pem'],
    }),
    cert: absolutePath.optional().meta({
      description: 'This host’s client certificate; default: client-cert.pem in `dir`.',
      examples: ['/etc/pki/qemu/client-cert.pem'],
    }),
    key: absolutePath.optional().meta({
      description: 'Its private key; default: client-key.pem in `dir`.',
      examples: ['/etc/pki/qemu/client-key.pem'],
    }),
  })
  .transform(({ dir, ca, cert, key }) => ({
    dir,
    ca: ca ?? `${dir}/ca-cert.pem`,
    cert: cert ?? `${dir}/client-cert.pem`,
    key: key ?? `${dir}/client-key.pem`,
  }));

const host = z
  .strictObject({
    name: name('the name of this host').meta({
      description: 'Name of this host in vmferry; its task queue bears it.',
      examples: ['alpha'],
    }),
    libvirt: z
      .strictObject({
        uri: z
          .string(says('a libvirt URI'))
          .regex(/^[a-z+]+:\/\//, says('a libvirt URI'))
          .default('qemu:///system')
          .meta({ description: 'URI for tools that are called.', examples: ['qemu:///system'] }),
        socket: absolutePath
          .default('/run/libvirt/libvirt-sock')
          .meta({ description: 'libvirtd’s own socket.', examples: ['/run/libvirt/libvirt-sock'] }),
      })
      .prefault({})
      .meta({ description: 'The libvirt of this host.' }),
    stateDir: absolutePath.default('/var/lib/vmferry').meta({
      description: 'The guard’s ledger, journals and locks. Has to survive reboots.',
      examples: ['/var/lib/vmferry'],
    }),
    migrationAddress: z
      .string(says('an IP address'))
      .refine((text) => isIP(text) !== 0, says('an IP address'))
      .meta({
        description: 'IP address on which exports listen and other hosts reach this one.',
        examples: ['198.51.100.11'],
      }),
    exportPorts: portRange.prefault('49300-49399').meta({
      description: 'Ports for exports; one a disk that is being copied.',
      examples: ['49300-49399'],
    }),
    tls: hostTls.prefault({}).meta({
      description: 'Certificates of the data plane; by default where QEMU looks for its own.',
    }),
    limits: z
      .strictObject({
        bandwidth: byteRate.prefault(0).meta({
          description: 'Cap over all copies to this host; 0 is none.',
          examples: ['100MiB/s', 0],
        }),
        parallelCopies: z
          .int(says('a whole number from 1 to 64'))
          .min(1, says('a whole number from 1 to 64'))
          .max(64, says('a whole number from 1 to 64'))
          .default(2)
          .meta({
            description: 'Disks copied to this host at a time, over all moves; the others wait.',
            examples: [2],
          }),
      })
      .prefault({})
      .meta({ description: 'What moves may take of this host.' }),
    policy: absolutePath.optional().meta({
      description:
        'This host’s policy file: what moves may do here, whoever asks. Default: /etc/vmferry/policy.yaml if it is there.',
      examples: ['/etc/vmferry/policy.yaml'],
    }),
    hooksDir: absolutePath.default('/etc/libvirt/hooks').meta({
      description: 'libvirt’s hooks folder; the guard’s hook goes into qemu.d below it.',
      examples: ['/etc/libvirt/hooks'],
    }),
    providers,
    conversion,
  })
  .meta({ description: 'For the worker on a KVM host.' });

/** Whether an address is this machine only. */
export const isLoopback = (ip: string): boolean => ip === '::1' || /^127\.\d+\.\d+\.\d+$/.test(ip);

const codecServer = z
  .strictObject({
    listen: endpoint('IP:PORT, an IPv6 address in brackets')
      .prefault('127.0.0.1:8234')
      .meta({
        description: 'IP:PORT to listen on. Anything but loopback needs a bearer token.',
        examples: ['127.0.0.1:8234'],
      }),
    origins: z
      .array(origin, says('a list of origins'))
      .default([])
      .meta({
        description: 'Web pages that may ask: the origin of Temporal’s UI.',
        examples: [['http://127.0.0.1:8233']],
      }),
    bearerToken: reference.optional().meta({
      description: 'Token that callers have to present, by reference.',
      examples: ['file:/etc/vmferry/codec-token'],
    }),
  })
  .refine(({ listen, bearerToken }) => bearerToken !== undefined || isLoopback(listen.host), {
    ...says('a `bearerToken`, because `listen` is not a loopback address'),
    path: ['listen'],
  })
  .meta({ description: 'Decrypts payloads for Temporal’s UI and CLI, for whom it may.' });

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** The configuration file, as written (`z.input`) and as used (`z.output`). */
export const configSchema = z
  .strictObject({
    cluster: name('the name of the cluster')
      .default('default')
      .meta({
        description: 'Name of the cluster: part of every move’s workflow ID.',
        examples: ['default'],
      }),
    temporal: temporal.prefault({}),
    encryption: encryption.optional(),
    host: host.optional(),
    codecServer: codecServer.optional(),
    log: z
      .strictObject({
        level: z
          .enum(logLevels, says(`one of ${logLevels.join(', ')}`))
          .default('info')
          .meta({ description: 'Least level that is written.', examples: ['info'] }),
      })
      .prefault({})
      .meta({ description: 'Logs go to stderr as JSON lines.' }),
  })
  .meta({
    title: 'vmferry configuration',
    description: 'One file for the CLI, the control worker and the host worker.',
  });

type Frozen<T> = T extends (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;

/** The configuration as used: checked, defaults filled in, frozen. Secrets are references (`config/secrets.ts`). */
export type Config = Frozen<z.output<typeof configSchema>>;
/** Section `host`. */
export type HostConfig = NonNullable<Config['host']>;
/** A foreign platform of `host.providers`. */
export type ProviderConfig = HostConfig['providers'][string];
/** Section `temporal`. */
export type TemporalConfig = Config['temporal'];
/** Section `encryption`. */
export type EncryptionConfig = NonNullable<Config['encryption']>;
