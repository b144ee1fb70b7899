/** Logging in: known exchanges, servers that lie, and what is done where several ways are offered. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AuthenticationFailed, AuthenticationRequired } from '../../../protocols/libvirt/index.ts';
import type { SaslCredentials } from '../../../protocols/libvirt/index.ts';
import type { Frame } from '../../../protocols/libvirt/framing.ts';
import { procedures, wireCallOf } from '../../../protocols/libvirt/procedures.ts';
import { SaslError } from '../../../protocols/libvirt/sasl/client.ts';
import { chooseMechanism } from '../../../protocols/libvirt/sasl/mechanisms.ts';
import { prepared } from '../../../protocols/libvirt/sasl/prepare.ts';
import { ScramClient, ScramHash } from '../../../protocols/libvirt/sasl/scram.ts';
import { XdrDecoder } from '../../../protocols/libvirt/xdr.ts';
import { FakeDaemon } from './fake-daemon.ts';

const PASSWORD = 'pencil';
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();
const failureOf = async <T>(promise: Promise<unknown>, type: new (...args: never[]) => T) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(type);
  return error as T;
};
const credentials = (changes: Partial<SaslCredentials> = {}): SaslCredentials => ({
  username: 'user',
  password: () => PASSWORD,
  ...changes,
});

describe('SCRAM', () => {
  const sha1 = () =>
    new ScramClient({
      hash: ScramHash.sha1,
      username: 'user',
      password: () => PASSWORD,
      nonce: 'fyko+d2lbbFgONRv9qkxdawL',
    });
  const challenge = 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096';

  it('goes through the exchange of RFC 5802', async () => {
    const client = sha1();
    expect(text(await client.start())).toBe('n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL');
    expect(text(await client.step(Buffer.from(challenge)))).toBe(
      'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
    );
    expect(client.serverProved).toBe(false);
    await client.step(Buffer.from('v=rmF9pqV8S7suAoZWja4dJRkFsKQ='));
    expect(client.serverProved).toBe(true);
  });

  it('goes through the exchange of RFC 7677', async () => {
    const client = new ScramClient({
      hash: ScramHash.sha256,
      username: 'user',
      password: () => PASSWORD,
      nonce: 'rOprNGfwEbeRWgbNEkqO',
    });
    const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
    const answer = await client.step(Buffer.from(`r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`));
    expect(text(answer)).toBe(`c=biws,r=${nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`);
    await client.step(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='));
    expect(client.serverProved).toBe(true);
  });

  it('writes the separators in a name so that they are none', async () => {
    const options = { hash: ScramHash.sha1, password: () => PASSWORD, nonce: 'x' };
    const client = new ScramClient({ ...options, username: 'a=b,c' });
    expect(text(await client.start())).toBe('n,,n=a=3Db=2Cc,r=x');
  });

  it.each([
    ['another nonce', 'r=other,s=QSXCR+Q6sek8bf92,i=4096', /nonce/],
    ['our nonce alone', 'r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096', /nonce/],
    ['too few iterations', challenge.replace('4096', '4095'), /4095 iterations/],
    ['iterations without end', challenge.replace('4096', '2147483647'), /iterations/],
    ['no salt', challenge.replace('QSXCR+Q6sek8bf92', ''), /cannot be read/],
    ['a salt that is no base64', challenge.replace('QSXC', '!!!!'), /cannot be read/],
    ['an extension that must be understood', `m=x,${challenge}`, /cannot be read/],
    ['a refusal', 'e=unknown-user', /unknown-user/],
    ['nothing', '', /cannot be read/],
    ['too much', `${challenge},${'x'.repeat(20_000)}`, /too long/],
  ])('refuses a challenge with %s', async (_name, message, words) => {
    const error = await failureOf(sha1().step(Buffer.from(message)), SaslError);
    expect(error.message).toMatch(words);
    expect(error.message).not.toContain(PASSWORD);
  });

  it.each(['v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'v=', 'v=rmF9', 'x', ''])(
    'does not believe a server whose proof is %j',
    async (proof) => {
      const client = sha1();
      await client.step(Buffer.from(challenge));
      await failureOf(client.step(Buffer.from(proof)), SaslError);
      expect(client.serverProved).toBe(false);
      // Nor does a second try help.
      const right = Buffer.from('v=rmF9pqV8S7suAoZWja4dJRkFsKQ=');
      await failureOf(client.step(right), SaslError);
    },
  );

  it('prepares texts as others do', () => {
    expect(prepared('I\u00adX')).toBe('IX');
    expect(prepared('\u2168')).toBe('IX');
    expect(prepared('a\u00a0b')).toBe('a b');
    expect(prepared('\u0007')).toBeUndefined();
    expect(prepared('')).toBeUndefined();
  });
});

describe('the choice of a mechanism', () => {
  const all = 'plain,SCRAM-SHA-1 SCRAM-SHA-256,GSSAPI,SCRAM-SHA-512';

  it('takes the strongest that both have', () => {
    const choice = { credentials: credentials(), isPrivate: true };
    expect(chooseMechanism({ ...choice, offered: all })).toBe('SCRAM-SHA-512');
    expect(chooseMechanism({ ...choice, offered: 'PLAIN,SCRAM-SHA-1' })).toBe('SCRAM-SHA-1');
    expect(chooseMechanism({ ...choice, offered: 'GSSAPI,DIGEST-MD5' })).toBeUndefined();
    const only = credentials({ mechanisms: ['SCRAM-SHA-256'] });
    expect(chooseMechanism({ ...choice, credentials: only, offered: all })).toBe('SCRAM-SHA-256');
  });

  it('takes PLAIN where nobody listens, or where it is written that it may', () => {
    const [offered, isPrivate] = ['PLAIN', false];
    expect(chooseMechanism({ offered, credentials: credentials(), isPrivate: true })).toBe('PLAIN');
    expect(chooseMechanism({ offered, credentials: credentials(), isPrivate })).toBeUndefined();
    const insecure = credentials({ insecurePlainOverAnyStream: true });
    expect(chooseMechanism({ offered, credentials: insecure, isPrivate })).toBe('PLAIN');
  });
});

/** Plays the daemon's side of SCRAM-SHA-256; knows the password, or only pretends to. */
class ScramDaemon extends FakeDaemon {
  readonly seen: string[] = [];
  mechanisms = 'SCRAM-SHA-256,PLAIN';
  /** `separate`: the proof comes before the success, in a step of its own. */
  manner: 'together' | 'separate' | 'without-proof' | 'endless' = 'together';
  /** What it takes for the password. */
  known = PASSWORD;
  #signed = '';

  constructor() {
    super();
    this.authTypes = [1];
    this.answer((call, name) => {
      if (name === 'AuthSaslInit') this.reply(call, name, { mechanisms: this.mechanisms });
      else if (name === 'AuthSaslStart') this.#onStart(call);
      else if (name === 'AuthSaslStep') this.#onStep(call);
    });
  }

  #onStart(call: Frame): void {
    const { data } = wireCallOf('AuthSaslStart').args.decode(new XdrDecoder(call.body));
    this.seen.push(text(data));
    const first = text(data).slice('n,,'.length);
    const challenge = `r=${first.replace(/^.*r=/, '')}server,s=c2FsdHNhbHQ=,i=4096`;
    this.#signed = `${first},${challenge}`;
    const done = { complete: 1, nil: true, data: Buffer.alloc(0) };
    if (this.manner === 'without-proof') this.reply(call, 'AuthSaslStart', done);
    else this.#say(call, 'AuthSaslStart', challenge, 0);
  }

  #onStep(call: Frame): void {
    const { data } = wireCallOf('AuthSaslStep').args.decode(new XdrDecoder(call.body));
    this.seen.push(text(data));
    const isLast = data.length === 0 && this.manner !== 'endless';
    const complete = isLast || this.manner === 'together' ? 1 : 0;
    this.#say(call, 'AuthSaslStep', isLast ? '' : this.#proof(data), complete);
  }

  #proof(data: Uint8Array): string {
    const signed = `${this.#signed},${text(data).replace(/,p=.*/, '')}`;
    const salted = pbkdf2Sync(this.known, 'saltsalt', 4096, 32, 'sha256');
    const hmac = (key: Buffer, of: string): Buffer => createHmac('sha256', key).update(of).digest();
    return `v=${hmac(hmac(salted, 'Server Key'), signed).toString('base64')}`;
  }

  #say(call: Frame, name: 'AuthSaslStart' | 'AuthSaslStep', words: string, complete: number): void {
    this.reply(call, name, { complete, nil: words === '', data: Buffer.from(words) });
  }
}

describe('logging in by SASL', () => {
  it.each(['together', 'separate'] as const)(
    'works where proof and success come %s',
    async (manner) => {
      const daemon = new ScramDaemon();
      daemon.manner = manner;
      let asked = 0;
      const password = (): Promise<string> => Promise.resolve(asked++ === 0 ? PASSWORD : '');
      const connection = await daemon.open({ sasl: credentials({ password }) });
      expect(asked).toBe(1);
      expect(daemon.seen.join()).not.toContain(PASSWORD);
      await connection.close();
    },
  );

  it.each(['without-proof', 'endless'] as const)(
    'fails with a daemon of manner %s',
    async (manner) => {
      const daemon = new ScramDaemon();
      daemon.manner = manner;
      const error = await failureOf(daemon.open({ sasl: credentials() }), AuthenticationFailed);
      expect(error).toMatchObject({ method: 'SCRAM-SHA-256', name: 'AuthenticationFailed' });
      expect(daemon.clientStream.destroyed).toBe(true);
    },
  );

  it('fails with a daemon that only pretends to know the password', async () => {
    const daemon = new ScramDaemon();
    daemon.known = 'a guess';
    const error = await failureOf(daemon.open({ sasl: credentials() }), AuthenticationFailed);
    expect(error.message).toMatch(/did not prove/);
  });

  it('tells that a password was refused, without a word of it', async () => {
    const daemon = new ScramDaemon();
    daemon.answer((call, name) => {
      if (name === 'AuthSaslInit') daemon.reply(call, name, { mechanisms: 'SCRAM-SHA-256' });
      else daemon.refuse(call, { code: 45, message: 'authentication failed' });
    });
    const error = await failureOf(daemon.open({ sasl: credentials() }), AuthenticationFailed);
    expect(error.message).toBe(
      'the log-in to libvirt by SCRAM-SHA-256 failed: authentication failed',
    );
    expect(error.mechanisms).toBe('SCRAM-SHA-256');
  });

  it('does not send PLAIN over a stream of which nothing is known', async () => {
    const daemon = new ScramDaemon();
    daemon.mechanisms = 'PLAIN';
    const error = await failureOf(daemon.open({ sasl: credentials() }), AuthenticationRequired);
    expect(error.message).toMatch(/sasl \(PLAIN\), of which nothing can be used/);
    expect(daemon.seen).toEqual([]);
  });

  it('sends PLAIN in one step where it may, and fails where more is asked', async () => {
    const sasl = credentials({ insecurePlainOverAnyStream: true });
    const daemon = new ScramDaemon();
    daemon.mechanisms = 'PLAIN';
    daemon.manner = 'without-proof';
    await (await daemon.open({ sasl })).close();
    expect(daemon.seen).toEqual(['\0user\0pencil']);
    const more = new ScramDaemon();
    more.mechanisms = 'PLAIN';
    await failureOf(more.open({ sasl }), AuthenticationFailed);
  });

  it('passes on why there is no password, and does not wait for one for ever', async () => {
    const gone = new Error('the vault is sealed');
    const password = (): Promise<string> => Promise.reject(gone);
    await expect(new ScramDaemon().open({ sasl: credentials({ password }) })).rejects.toBe(gone);
    const never = credentials({ password: () => new Promise<string>(() => undefined) });
    await expect(new ScramDaemon().open({ sasl: never, timeoutMs: 50 })).rejects.toThrow(/timeout/);
  });
});

describe('what the daemon offers', () => {
  const isCall = (name: keyof typeof procedures) => (frame: Frame) =>
    frame.procedure === procedures[name].number;

  it.each([
    ['nothing is asked for', [0], undefined],
    ['nothing has to be done though more could', [0, 1, 2], undefined],
    ['there is a password for SASL', [2, 1], 'AuthSaslStart'],
    ['there is polkit only', [2], 'AuthPolkit'],
  ] as const)('is answered: %s', async (_name, types, expected) => {
    const daemon = new ScramDaemon();
    const scram = daemon.script;
    daemon.answer((call, name) => {
      if (name === 'AuthPolkit') daemon.reply(call, name, { complete: 1 });
      else scram(call, name);
    });
    daemon.authTypes = types;
    await (await daemon.open({ sasl: credentials() })).close();
    for (const name of ['AuthSaslStart', 'AuthPolkit'] as const) {
      expect(daemon.received.some(isCall(name))).toBe(name === expected);
    }
  });

  it('is left alone without a password: polkit instead, else an error that says what', async () => {
    const daemon = new ScramDaemon();
    daemon.authTypes = [1, 2];
    daemon.answer((call) => daemon.reply(call, 'AuthPolkit', { complete: 1 }));
    await (await daemon.open()).close();
    const strict = new ScramDaemon();
    strict.authTypes = [1, 77];
    const error = await failureOf(strict.open(), AuthenticationRequired);
    expect(error.offered).toEqual(['sasl', 'an unknown kind (77)']);
  });
});

it('the hash of the wire is that of the exchange', () => {
  // Guards the table above against a typing error that both sides would share.
  expect(createHash('sha256').update('').digest().length).toBe(ScramHash.sha256.bytes);
  expect(createHash('sha512').update('').digest().length).toBe(ScramHash.sha512.bytes);
  expect(createHash('sha1').update('').digest().length).toBe(ScramHash.sha1.bytes);
});
