import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { NbdAddress } from '../../../protocols/nbd/index.ts';

const run = promisify(execFile);

/** Runs a program to its end, within 30 s; resolves to its output. */
export const exec = async (program: string, ...args: string[]): Promise<string> => {
  const { stdout } = await run(program, args, { timeout: 30_000 });
  return stdout;
};

/** A free port of loopback; somebody else could take it before the server does, but nobody here does. */
const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
};

/** A zombie holds nothing any more; who reaps it, and when, is not our affair. */
const isAlive = async (pid: number): Promise<boolean> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) Z /.test(stat);
};

/** The PID that a daemon leaves when it is ready to serve; nbdkit's starter may return before. */
const readPid = async (path: string): Promise<number> => {
  for (let tries = 0; tries < 500; tries++) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.endsWith('\n')) return Number(text);
    await delay(10);
  }
  throw new Error(`no PID in ${path}`);
};

export interface QemuNbdOptions {
  image: string;
  format: 'raw' | 'qcow2';
  writable?: boolean;
  exportName?: string;
  /** TCP on loopback instead of a unix socket. */
  tcp?: boolean;
  /** Folder with ca-cert.pem, server-cert.pem, server-key.pem: mutual TLS is demanded then. */
  tlsDir?: string;
  /** The one client that is admitted, by the distinguished name of its certificate. */
  admitDn?: string;
  shared?: number;
}

export interface RunningServer {
  address: NbdAddress;
  pid: number;
  stop(): Promise<void>;
}

/** A folder of its own, and every server started in it; `close` ends and removes all. */
export class Bench {
  readonly folder: string;
  readonly #servers: RunningServer[] = [];
  #count = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<Bench> {
    return new Bench(await mkdtemp(join(tmpdir(), 'vmferry-nbd-')));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Starts a real qemu-nbd; it is listening when this resolves. */
  async qemuNbd(options: QemuNbdOptions): Promise<RunningServer> {
    const pidFile = this.path(`${this.#count++}.pid`);
    const socket = this.path(`${this.#count}.sock`);
    const port = options.tcp === true ? await freePort() : 0;
    const args = ['--fork', '--persistent', '--pid-file', pidFile, '--format', options.format];
    args.push('--shared', String(options.shared ?? 8), '--discard', 'unmap');
    if (options.writable !== true) args.push('--read-only');
    if (options.exportName !== undefined) args.push('--export-name', options.exportName);
    if (port > 0) args.push('--bind', '127.0.0.1', '--port', String(port));
    else args.push('--socket', socket);
    if (options.tlsDir !== undefined) {
      const creds = `tls-creds-x509,id=tls0,dir=${options.tlsDir},endpoint=server,verify-peer=on`;
      args.push('--object', creds, '--tls-creds', 'tls0');
    }
    if (options.admitDn !== undefined) {
      // A comma within a value is doubled.
      const identity = options.admitDn.replaceAll(',', ',,');
      args.push('--object', `authz-simple,id=auth0,identity=${identity}`, '--tls-authz', 'auth0');
    }
    await exec('qemu-nbd', ...args, options.image);
    const pid = await readPid(pidFile);
    return this.#keep(pid, port > 0 ? { host: '127.0.0.1', port } : { path: socket });
  }

  /** Starts a real nbdkit on a unix socket. */
  async nbdkit(...args: string[]): Promise<RunningServer> {
    const pidFile = this.path(`${this.#count++}.pid`);
    const socket = this.path(`${this.#count}.sock`);
    await exec('nbdkit', '--unix', socket, '--pidfile', pidFile, ...args);
    return this.#keep(await readPid(pidFile), { path: socket });
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
    await rm(this.folder, { recursive: true });
  }

  #keep(pid: number, address: NbdAddress): RunningServer {
    const stop = async (): Promise<void> => {
      if (!(await isAlive(pid))) return;
      process.kill(pid, 'SIGKILL');
      for (let tries = 0; await isAlive(pid); tries++) {
        if (tries > 200) throw new Error(`server ${pid} does not end`);
        await delay(10);
      }
    };
    const server = { address, pid, stop };
    this.#servers.push(server);
    return server;
  }
}

/** A certificate with its key and its authority, as PEM texts. */
export interface Identity {
  ca: string;
  cert: string;
  key: string;
}

/** A certificate authority in a folder laid out as QEMU wants it. */
export class Authority {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(folder: string): Promise<Authority> {
    await mkdir(folder, { recursive: true });
    const authority = new Authority(folder);
    await authority.#key('ca');
    const template = 'cn = test authority\nca\ncert_signing_key\nexpiration_days = 2\n';
    await authority.#certtool('ca', template, '--generate-self-signed');
    return authority;
  }

  /** Makes a certificate `<file>-cert.pem` with its key. */
  async issue(file: string, name: string, ...addresses: string[]): Promise<Identity> {
    await this.#key(file);
    const lines = [`cn = ${name}`, 'organization = vmferry', `dns_name = ${name}`];
    lines.push(...addresses.map((address) => `ip_address = ${address}`));
    lines.push('tls_www_server', 'tls_www_client', 'signing_key', 'expiration_days = 2', '');
    const signer = ['--load-ca-certificate', this.#file('ca-cert'), '--load-ca-privkey'];
    signer.push(this.#file('ca-key'));
    await this.#certtool(file, lines.join('\n'), '--generate-certificate', ...signer);
    const [ca, cert, key] = await Promise.all(
      ['ca-cert', `${file}-cert`, `${file}-key`].map((each) => readFile(this.#file(each), 'utf8')),
    );
    return { ca: ca!, cert: cert!, key: key! };
  }

  #file(name: string): string {
    return join(this.folder, `${name}.pem`);
  }

  async #key(file: string): Promise<void> {
    const how = ['--generate-privkey', '--key-type', 'ecdsa', '--curve', 'secp256r1'];
    await exec('certtool', ...how, '--outfile', this.#file(`${file}-key`));
  }

  async #certtool(file: string, template: string, ...args: string[]): Promise<void> {
    const templateFile = join(this.folder, `${file}.template`);
    await writeFile(templateFile, template);
    const own = ['--load-privkey', this.#file(`${file}-key`), '--template', templateFile];
    await exec('certtool', ...args, ...own, '--outfile', this.#file(`${file}-cert`));
  }
}
