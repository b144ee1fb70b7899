/** The foreign platforms of `host.providers`, opened with their secrets; these go nowhere but to the platform. */
import { readFile } from 'node:fs/promises';
import type { ForeignProviders, OpenProviderOptions } from '../activities/import/parts.ts';
import type { ProviderConfig } from '../config/schema.ts';
import { resolveReference, resolveText } from '../config/secrets.ts';
import { needsOperator } from '../domain/errors.ts';
import type { ForeignSource } from '../domain/foreign.ts';
import type { ProviderLine } from '../domain/import.ts';
import type { SshLogin, TellableAuth } from '../platforms/ssh/hops.ts';
import { RemoteKvmSource } from '../platforms/remote-kvm/source.ts';
import { VsphereSource } from '../platforms/vsphere/source.ts';
import type { VsphereLogin } from '../platforms/vsphere/session.ts';
import type { TlsTrust } from '../protocols/soap/index.ts';
import { OvaFolder } from './ova-folder.ts';

type Of<Kind extends ProviderConfig['kind']> = Extract<ProviderConfig, { kind: Kind }>;

export class ConfiguredProviders implements ForeignProviders {
  readonly #host: string;
  readonly #providers: Readonly<Record<string, ProviderConfig>>;
  readonly #scratchDir: string;
  readonly #address: (() => string) | undefined;

  constructor(options: {
    host: string;
    providers: Readonly<Record<string, ProviderConfig>>;
    /** Where images that can only be read as a whole are unpacked. */
    scratchDir: string;
    /** Own address that disks are read from, and ESXi and KVM hosts called; as the routes say if absent. */
    address?: () => string;
  }) {
    this.#host = options.host;
    this.#providers = options.providers;
    this.#scratchDir = options.scratchDir;
    this.#address = options.address;
  }

  lines(): ProviderLine[] {
    return Object.entries(this.#providers).map(([name, provider]) => ({
      name,
      kind: provider.kind,
      address: provider.kind === 'ova' ? provider.folder : provider.address,
    }));
  }

  /** Throws `provider-unknown`, `secret-unavailable`, `secret-exposed`, and what the platform throws. */
  async open(name: string, options: OpenProviderOptions): Promise<ForeignSource> {
    const provider = Object.hasOwn(this.#providers, name) ? this.#providers[name] : undefined;
    if (provider === undefined) throw this.#unknown(name);
    switch (provider.kind) {
      case 'ova':
        return new OvaFolder({
          folder: provider.folder,
          scratchDir: this.#scratchDir,
          checksManifest: options.reads,
        });
      case 'kvm':
        return new RemoteKvmSource(await kvmOptions(name, provider, this.#from(options)));
      case 'vsphere':
        return VsphereSource.open(
          await vsphereOptions(provider, this.#from(options)),
          options.signal,
        );
    }
  }

  #from(options: OpenProviderOptions): OpenFrom {
    const from = this.#address?.();
    return from === undefined ? options : { ...options, from: { localAddress: from } };
  }

  #unknown(name: string) {
    const known = Object.keys(this.#providers).join(', ') || 'none';
    return needsOperator({
      code: 'provider-unknown',
      message: `the configuration of ${this.#host} names no provider ${name}; it has ${known}`,
      remedy:
        'Add it to `host.providers` there and restart its worker; `vmferry providers` lists them.',
      host: this.#host,
    });
  }
}

/** Own address that connections are made from. */
interface Origin {
  localAddress?: string;
}
interface OpenFrom extends OpenProviderOptions {
  from?: Origin;
}

async function kvmOptions(
  name: string,
  provider: Of<'kvm'>,
  { label, pause, from }: OpenFrom,
): Promise<ConstructorParameters<typeof RemoteKvmSource>[0]> {
  const { uri, libvirtSocket, sasl, dataPath, connections, scratchFolder, jump } = provider;
  const [direct, ...between] = [...jump, provider].reverse();
  if (direct === undefined) throw new Error('a login that is none');
  const ssh = await loginThrough(direct, between, from);
  return {
    ...{ name, ssh, label, uri, connections, offPath: dataPath },
    whileRunning: pause ? 'pause' : 'backup',
    ...(libvirtSocket === undefined ? {} : { libvirtSocket }),
    ...(scratchFolder === undefined ? {} : { scratchFolder }),
    ...(sasl === undefined
      ? {}
      : { sasl: { username: sasl.user, password: () => resolveText(sasl.password) } }),
  };
}

type SshConfig = Of<'kvm'>['jump'][number];

/** `between`: the nearest to the host first. */
async function loginThrough(
  login: SshConfig,
  between: readonly SshConfig[],
  from: Origin = {},
): Promise<SshLogin> {
  const { host, port } = hostAndPort(login.address);
  const [next, ...others] = between;
  return {
    host,
    ...(port === undefined ? {} : { port }),
    username: login.user,
    auth: await waysIn(login),
    hostKeySha256: login.hostKey,
    ...(next === undefined ? from : { via: await loginThrough(next, others, from) }),
  };
}

async function waysIn({ key, passphrase, agent, password }: SshConfig): Promise<TellableAuth[]> {
  return [
    ...(key === undefined
      ? []
      : [
          {
            privateKey: await resolveReference(key),
            ...(passphrase === undefined ? {} : { passphrase: () => resolveText(passphrase) }),
          },
        ]),
    ...(agent === undefined ? [] : [{ agent }]),
    ...(password === undefined ? [] : [{ password: await resolveText(password) }]),
  ];
}

/** `HOST`, `HOST:PORT`, `[IPv6]:PORT`; the schema has seen to the form. */
function hostAndPort(address: string): { host: string; port?: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(address) ?? [];
  const host = bracketed ?? plain ?? address;
  return port === undefined ? { host } : { host, port: Number(port) };
}

async function vsphereOptions(
  provider: Of<'vsphere'>,
  { label, from = {} }: OpenFrom,
): Promise<Parameters<typeof VsphereSource.open>[0]> {
  const direct: Record<string, VsphereLogin> = {};
  for (const [name, host] of Object.entries(provider.hosts))
    direct[name] = { ...(await httpsLogin(host)), ...from };
  const ssh: Record<string, SshLogin> = {};
  for (const [name, host] of Object.entries(provider.sshHosts))
    ssh[name] = await loginThrough(host, [], from);
  const { dataPath, parallelReads: parallelism, vddk } = provider;
  const library = vddk === undefined ? {} : { vddk: { ...vddk, label } };
  const { localAddress: dataAddress } = from;
  // What steers a vCenter goes as the routes say: it need not be where disks are read.
  const data = dataAddress === undefined ? {} : { dataAddress };
  const login = { ...(await httpsLogin(provider)), ...data };
  return { ...login, direct, ssh, dataPath, parallelism, label, ...library };
}

type HttpsConfig = Of<'vsphere'>['hosts'][string];

const httpsLogin = async (login: HttpsConfig): Promise<VsphereLogin> => ({
  url: `https://${login.address}`,
  username: login.user,
  password: await resolveText(login.password),
  trust: await trustOf(login),
});

async function trustOf({ ca, thumbprint }: HttpsConfig): Promise<TlsTrust> {
  if (ca !== undefined) return { ca: await readFile(ca, 'utf8') };
  if (thumbprint === undefined) return { insecure: true };
  const isSha1 = thumbprint.replaceAll(':', '').length === 40;
  return isSha1 ? { sha1: thumbprint } : { sha256: thumbprint };
}
