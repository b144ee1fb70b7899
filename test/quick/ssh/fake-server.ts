/** An SSH server inside the test, for what a real one cannot be brought to do on demand. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, ServerChannel, TcpipRequestInfo } from 'ssh2';
import { fingerprintOf } from '../../../protocols/ssh/host-key.ts';
import type { SshOptions } from '../../../protocols/ssh/index.ts';

const { private: privateKey, public: publicKey } = ssh2.utils.generateKeyPairSync('ed25519');
const wireKey = Buffer.from(publicKey.split(' ')[1]!, 'base64');

/** A running server. */
export interface FakeServer {
  /** Options that lead to it, by the password `secret`. */
  readonly options: Omit<SshOptions, 'hostKey'> & { readonly hostKey: { readonly sha256: string } };
  /** What was offered as password, in any way. */
  readonly passwords: string[];
  /** Stops to read what clients send: from now on it is as if the network were gone. */
  fallSilent(): void;
  close(): Promise<void>;
}

/** How it behaves. */
export interface Behaviour {
  readonly method?: 'password' | 'keyboard-interactive';
  /** Judges each attempt to log in; by password unless it is given. */
  readonly admit?: (context: AuthContext) => void;
  /** Called for each TCP channel; not answered unless it is given. */
  readonly onTcp?: (accept: () => ServerChannel, reject: () => void, to: TcpipRequestInfo) => void;
}

/** Starts one on loopback. */
export async function startFakeServer(behaviour: Behaviour = {}): Promise<FakeServer> {
  const { method = 'password', admit, onTcp } = behaviour;
  const passwords: string[] = [];
  const sockets = new Set<Socket>();
  const serve = (client: Connection): void => {
    client.on('error', () => undefined);
    client.on('authentication', (context) => {
      if (admit !== undefined) {
        admit(context);
        return;
      }
      const judge = (password: string | undefined): void => {
        passwords.push(password ?? '');
        if (password === 'secret') context.accept();
        else context.reject([method]);
      };
      const { method: tried } = context;
      if (tried !== method) context.reject([method]);
      else if (tried === 'password') judge(context.password);
      else context.prompt([{ prompt: 'Password: ', echo: false }], ([answer]) => judge(answer));
    });
    client.on('tcpip', (accept, reject, info) => onTcp?.(accept, reject, info));
  };
  const ssh = new ssh2.Server({ hostKeys: [privateKey] }, serve);
  const server = createServer((socket) => {
    sockets.add(socket);
    ssh.injectSocket(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    options: {
      host: '127.0.0.1',
      port,
      username: 'mover',
      auth: { password: 'secret' },
      hostKey: { sha256: fingerprintOf(wireKey) },
    },
    passwords,
    fallSilent: () => sockets.forEach((socket) => socket.pause()),
    close: async () => {
      sockets.forEach((socket) => socket.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
