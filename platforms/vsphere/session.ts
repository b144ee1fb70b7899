/** A login at a vCenter or ESXi that comes back by itself when it ran out. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import { childOf, isFault, SoapClient, SoapError, textOf } from '../../protocols/soap/index.ts';
import type { CallOptions, HttpsServer, TlsTrust, XmlNode } from '../../protocols/soap/index.ts';
import { permanent } from '../../domain/errors.ts';
import { vsphereFault } from './faults.ts';
import { reference, referenceAt, value } from './references.ts';
import type { ManagedRef } from './references.ts';

export interface VsphereLogin {
  /** `https://vcenter.example`, or of an ESXi. */
  url: string;
  username: string;
  /** Never in a message, a log or a URL. */
  password: string;
  trust: TlsTrust;
  /** Own address that it is called from; the routes choose it if absent. */
  localAddress?: string;
  /** Own address that disks are read from; `localAddress` if absent. */
  dataAddress?: string;
}

/** What the service says of itself; the parts that we use. */
export interface ServiceContent {
  sessionManager: ManagedRef;
  propertyCollector: ManagedRef;
  rootFolder: ManagedRef;
  viewManager: ManagedRef;
  searchIndex: ManagedRef;
  /** `VirtualCenter` or `HostAgent`. */
  apiType: string;
  apiVersion: string;
}

export interface VsphereCall extends CallOptions {
  /** What it is for, as a clause; `call <method>` if absent. */
  what?: string;
  mutation?: boolean;
}

const service: ManagedRef = { type: 'ServiceInstance', id: 'ServiceInstance' };
/** Of vSphere 5.0, the oldest that we ask; the login then speaks the server's own. */
const oldestVersion = '5.0';

export class VsphereSession {
  readonly content: ServiceContent;
  readonly #client: SoapClient;
  readonly #login: VsphereLogin;
  /** How often it was logged in: whoever fails under an older login needs no new one. */
  #generation = 0;
  #loggingIn: Promise<void> | undefined;
  #closed = false;

  private constructor(login: VsphereLogin, client: SoapClient, content: ServiceContent) {
    this.#login = login;
    this.#client = client;
    this.content = content;
  }

  /**
   * Rejects with VmFerryError: `vsphere-login-refused`, `tls-thumbprint-mismatch`, `tls-untrusted`, `source-unreachable`,
   * `vsphere-settings-invalid`, `vsphere-not-there`.
   */
  static async open(
    login: VsphereLogin,
    connections: number,
    signal?: AbortSignal,
  ): Promise<VsphereSession> {
    let client: SoapClient | undefined;
    try {
      const about = clientFor(login, connections, oldestVersion);
      client = about;
      const content = await serviceContent(about, signal);
      about.close();
      client = clientFor(login, connections, content.apiVersion);
      const session = new VsphereSession(login, client, content);
      await session.#logIn(signal);
      return session;
    } catch (error) {
      client?.close();
      throw vsphereFault({ what: `log in as ${login.username}`, host: hostOf(login.url) }, error);
    }
  }

  /** `host:port`, for messages. */
  get host(): string {
    return this.#client.server.name;
  }

  /** For what is given out beside SOAP, with `cookie`. */
  get server(): HttpsServer {
    return this.#client.server;
  }

  /** A secret. */
  get cookie(): string {
    return this.#client.cookie;
  }

  /** Of the server's certificate, which is trusted. Rejects with VmFerryError. */
  async thumbprintSha1(): Promise<string> {
    try {
      return await this.server.thumbprintSha1();
    } catch (error) {
      throw this.fault(error, 'TLS', { what: 'read the certificate' });
    }
  }

  get generation(): number {
    return this.#generation;
  }

  /** Calls once more after a new login if the session had run out. Rejects with VmFerryError (`faults.ts`). */
  async call(
    method: string,
    on: ManagedRef,
    parameters: readonly XmlNode[] = [],
    options: VsphereCall = {},
  ): Promise<XmlElement> {
    try {
      return await this.callPlainly(method, on, parameters, options);
    } catch (error) {
      throw this.fault(error, method, options);
    }
  }

  /** Likewise, but rejects with SoapError, for callers who know what a fault means. */
  async callPlainly(
    method: string,
    on: ManagedRef,
    parameters: readonly XmlNode[] = [],
    options: CallOptions = {},
  ): Promise<XmlElement> {
    const given = [reference('_this', on), ...parameters];
    const generation = this.#generation;
    try {
      return await this.#client.call(method, given, options);
    } catch (error) {
      if (!isLoggedOut(error) || this.#closed) throw error;
      await this.renew(generation, options.signal);
      return await this.#client.call(method, given, options);
    }
  }

  fault(
    error: unknown,
    method: string,
    options: Pick<VsphereCall, 'what' | 'mutation'> = {},
  ): unknown {
    const { what = `call ${method}`, mutation = false } = options;
    return vsphereFault({ what, host: this.host, mutation }, error);
  }

  /** A new login, unless there was one since `generation`; however many ask for it at once, there is one. */
  async renew(generation: number, signal?: AbortSignal): Promise<void> {
    if (this.#generation !== generation) return;
    this.#loggingIn ??= this.#logIn(signal).finally(() => (this.#loggingIn = undefined));
    await this.#loggingIn;
  }

  /** Logs out; a session that had run out by then is well, too. Rejects with VmFerryError if that could not be said. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#client.call('Logout', [reference('_this', this.content.sessionManager)], {
        timeoutMs: 15_000,
      });
    } catch (error) {
      if (!isLoggedOut(error)) throw this.fault(error, 'Logout', { what: 'log out' });
    } finally {
      this.#client.close();
    }
  }

  async #logIn(signal?: AbortSignal): Promise<void> {
    const { username, password } = this.#login;
    // With the old cookie some servers take it for a second login and refuse it.
    this.#client.forgetSession();
    const given = [value('userName', username), value('password', password)];
    const on = reference('_this', this.content.sessionManager);
    await this.#client.call('Login', [on, ...given], { signal });
    this.#generation += 1;
  }
}

/** Servers say it as a fault; a proxy before them by HTTP. */
const isLoggedOut = (error: unknown): boolean =>
  isFault(error, 'NotAuthenticated') || (error instanceof SoapError && error.status === 401);

const hostOf = (url: string): string => URL.parse(url)?.host ?? '';

const clientFor = (
  { url, trust, localAddress, dataAddress }: VsphereLogin,
  connections: number,
  version: string,
): SoapClient =>
  new SoapClient({
    url,
    trust,
    localAddress,
    rangeAddress: dataAddress,
    connections,
    path: '/sdk',
    namespace: 'urn:vim25',
    action: `urn:vim25/${version}`,
    cookie: 'vmware_soap_session',
  });

async function serviceContent(client: SoapClient, signal?: AbortSignal): Promise<ServiceContent> {
  const call = [reference('_this', service)];
  const response = await client.call('RetrieveServiceContent', call, { signal });
  const content = childOf(response, 'returnval');
  const part = (name: string): ManagedRef => {
    const found = referenceAt(content, name);
    if (found !== undefined) return found;
    throw permanent({
      code: 'vsphere-not-there',
      message: `${client.server.name} says nothing of its ${name}`,
      remedy: 'See that the address is that of a vCenter or ESXi.',
      host: client.server.name,
    });
  };
  const version = textOf(content, 'about', 'apiVersion');
  return {
    sessionManager: part('sessionManager'),
    propertyCollector: part('propertyCollector'),
    rootFolder: part('rootFolder'),
    viewManager: part('viewManager'),
    searchIndex: part('searchIndex'),
    apiType: textOf(content, 'about', 'apiType'),
    apiVersion: /^\d{1,3}(?:\.\d{1,3}){0,3}$/.test(version) ? version : oldestVersion,
  };
}
