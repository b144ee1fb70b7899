/** The ways to log in, and the way through a host in between. */
import { once } from 'node:events';
import { connect } from 'node:net';
import ssh2 from 'ssh2';
import type { AuthContext } from 'ssh2';
import { afterEach, describe, expect, it } from 'vitest';
import { SshSession } from '../../../protocols/ssh/index.ts';
import type { SshOptions, SshQuestion } from '../../../protocols/ssh/index.ts';
import { startFakeServer } from './fake-server.ts';
import type { Behaviour, FakeServer } from './fake-server.ts';

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(cleanUps.splice(0).map((cleanUp) => cleanUp()));
});

async function start(behaviour?: Behaviour): Promise<FakeServer> {
  const server = await startFakeServer(behaviour);
  cleanUps.push(() => server.close());
  return server;
}
const logIn = async (server: FakeServer, changes: Partial<SshOptions>): Promise<void> => {
  await (await SshSession.open({ ...server.options, ...changes })).close();
};
const PASSPHRASE = 'open sesame';
const locked = ssh2.utils.generateKeyPairSync('ed25519', {
  cipher: 'aes256-ctr',
  rounds: 4,
  passphrase: PASSPHRASE,
}).private;
const plain = ssh2.utils.generateKeyPairSync('ed25519').private;
const byKey = (context: AuthContext): void => {
  if (context.method === 'publickey') context.accept();
  else context.reject(['publickey']);
};

describe('a passphrase', () => {
  it('is asked for where the key is encrypted, and only there', async () => {
    const server = await start({ admit: byKey });
    let asked = 0;
    const passphrase = (): Promise<string> => {
      asked += 1;
      return Promise.resolve(PASSPHRASE);
    };
    await logIn(server, { auth: { privateKey: plain, passphrase } });
    expect(asked).toBe(0);
    await logIn(server, { auth: { privateKey: locked, passphrase } });
    expect(asked).toBe(1);
  });

  it('that is wrong, missing or never given is an error without a word of it', async () => {
    const server = await start({ admit: byKey });
    const wrong = logIn(server, { auth: { privateKey: locked, passphrase: () => 'tuna' } });
    await expect(wrong).rejects.toMatchObject({ kind: 'invalid' });
    await expect(wrong).rejects.not.toThrow(/tuna/);
    const missing = logIn(server, { auth: { privateKey: locked } });
    await expect(missing).rejects.toMatchObject({ kind: 'invalid' });
    const passphrase = (): Promise<string> => new Promise(() => undefined);
    const never = logIn(server, { auth: { privateKey: locked, passphrase }, timeoutMs: 50 });
    await expect(never).rejects.toMatchObject({ kind: 'timeout' });
  });
});

describe('a server that asks for more', () => {
  const twice = (context: AuthContext): void => {
    if (context.method === 'publickey') context.reject(['keyboard-interactive'], true);
    else if (context.method === 'keyboard-interactive') {
      const prompts = [
        { prompt: 'Code: ', echo: true },
        { prompt: 'Again: ', echo: false },
      ];
      context.prompt(prompts, 'second factor', 'from your token', (answers) => {
        if (answers.join() === '123,456') context.accept();
        else context.reject(['keyboard-interactive']);
      });
    } else context.reject(['publickey']);
  };

  it('gets several ways in their order, and answers to its questions', async () => {
    const server = await start({ admit: twice });
    const seen: SshQuestion[] = [];
    const keyboardInteractive = (question: SshQuestion): string[] => {
      seen.push(question);
      return ['123', '456'];
    };
    await logIn(server, { auth: [{ privateKey: plain }, { keyboardInteractive }] });
    const prompts = [
      { text: 'Code: ', isHidden: false },
      { text: 'Again: ', isHidden: true },
    ];
    expect(seen).toEqual([{ name: 'second factor', instructions: 'from your token', prompts }]);
  });

  it('refuses who cannot answer, and nothing hangs on an answer that fails', async () => {
    const server = await start({ admit: twice });
    const keyboardInteractive = (): Promise<string[]> => Promise.reject(new Error('no token here'));
    const auth = [{ privateKey: plain }, { keyboardInteractive }];
    await expect(logIn(server, { auth })).rejects.toMatchObject({ kind: 'authentication' });
  });

  it('gets one private key at most', async () => {
    const server = await start({ admit: twice });
    const auth = [{ privateKey: plain }, { privateKey: plain }];
    await expect(logIn(server, { auth })).rejects.toMatchObject({ kind: 'invalid' });
  });
});

it('a host that changes its key may be pinned by both', async () => {
  const server = await start();
  const { sha256 } = server.options.hostKey;
  const other = `SHA256:${'A'.repeat(43)}`;
  await logIn(server, { hostKey: { sha256: [other, sha256] } });
  const none = logIn(server, { hostKey: { sha256: [other] } });
  await expect(none).rejects.toMatchObject({ kind: 'host-key-mismatch', expected: other });
  const empty = logIn(server, { hostKey: { sha256: [] } });
  await expect(empty).rejects.toMatchObject({ kind: 'host-key-mismatch' });
});

describe('through a host in between', () => {
  /** Connects a channel to where it is to lead. */
  const forward: Behaviour['onTcp'] = (accept, _reject, { destPort }) => {
    const socket = connect(destPort, '127.0.0.1');
    const channel = accept();
    channel.on('error', () => undefined).on('close', () => socket.destroy());
    socket.on('error', () => undefined).on('close', () => channel.close());
    channel.pipe(socket).pipe(channel);
  };

  it('a session pins the far host, carries data, and ends with the one below it', async () => {
    const far = await start({ onTcp: (accept) => accept().end(Buffer.alloc(1 << 20, 7)) });
    const near = await start({ onTcp: forward });
    const via = await SshSession.open(near.options);
    const session = await SshSession.open({ ...far.options, via });
    let sizeBytes = 0;
    for await (const chunk of await session.openTcp('x', 1)) sizeBytes += (chunk as Buffer).length;
    expect(sizeBytes).toBe(1 << 20);
    const wrong = SshSession.open({ ...far.options, via, hostKey: { sha256: 'A'.repeat(43) } });
    await expect(wrong).rejects.toMatchObject({ kind: 'host-key-mismatch' });
    await via.close();
    expect((await session.closed).kind).toBe('peer');
  });

  it('a far host that is not there is unreachable, and one that is silent takes no longer', async () => {
    const near = await start({ onTcp: (_accept, reject) => reject() });
    await using via = await SshSession.open(near.options);
    const refused = SshSession.open({ ...near.options, via });
    await expect(refused).rejects.toMatchObject({ kind: 'unreachable' });
    const mute = await start({ onTcp: (accept) => void accept() });
    await using silent = await SshSession.open(mute.options);
    const never = SshSession.open({ ...near.options, via: silent, timeoutMs: 100 });
    await expect(never).rejects.toMatchObject({ kind: 'timeout' });
  });
});

it('channels have a limit, which those that ended do not count against', async () => {
  const server = await start({ onTcp: (accept) => void accept() });
  await using session = await SshSession.open({ ...server.options, maxChannels: 2 });
  const [first, second] = [session.openTcp('a', 1), session.openTcp('b', 2)];
  await expect(session.openTcp('c', 3)).rejects.toMatchObject({ kind: 'busy' });
  const stream = await first;
  const others = [await second];
  stream.destroy();
  await once(stream, 'close');
  others.push(await session.openTcp('c', 3));
  // They are lost with the session, and say so.
  const lost = others.map((other) => once(other, 'error'));
  await session.close();
  for (const [error] of await Promise.all(lost)) expect(error).toMatchObject({ kind: 'lost' });
});
