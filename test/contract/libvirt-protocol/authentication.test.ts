/** Logging in to a real libvirtd: SASL with a password database of its own, polkit with a bus of its own. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AuthenticationFailed,
  AuthenticationRequired,
  Connection,
} from '../../../protocols/libvirt/index.ts';
import type { SaslCredentials, SaslMechanism } from '../../../protocols/libvirt/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

const run = promisify(execFile);
const HOSTNAME = `vmfp-${process.pid}`;
const PASSWORD = 'Grüße, pencil=7';
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmfp-'));
  // Other users have to reach the sockets in it.
  await chmod(dir, 0o755);
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

const failureOf = async <T>(promise: Promise<unknown>, type: new (...args: never[]) => T) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(type);
  return error as T;
};

const saslIsHere = existsSync('/usr/sbin/saslpasswd2');
if (!saslIsHere) console.warn('! No saslpasswd2 (sasl2-bin) here: SASL is NOT tried.');

describe.skipIf(!saslIsHere)('SASL', () => {
  let host: PrivateLibvirtd;
  const confPath = (): string => join(dir, 'sasl');

  const open = (changes: Partial<SaslCredentials> = {}): Promise<Connection> =>
    Connection.open({
      unixPath: host.unixPath,
      uri: 'qemu:///system',
      sasl: { username: 'mover', password: () => PASSWORD, ...changes },
    });

  beforeAll(async () => {
    await mkdir(confPath());
    await writeFile(
      join(confPath(), 'libvirt.conf'),
      'mech_list: PLAIN DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512\n' +
        `sasldb_path: ${confPath()}/passwd.db\n`,
    );
    const arguments_ = ['-p', '-c', '-f', join(confPath(), 'passwd.db'), '-u', HOSTNAME, 'mover'];
    const setting = run('saslpasswd2', arguments_);
    setting.child.stdin?.end(PASSWORD);
    await setting;
    host = await startPrivateLibvirtd({
      dir: join(dir, 'sasl-host'),
      config: ['auth_unix_rw = "sasl"'],
      env: { SASL_CONF_PATH: confPath() },
    });
  });
  afterAll(() => host.stop());

  it.each(['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'PLAIN'] as const)(
    'by %s lets the right password in, and no other',
    async (mechanism: SaslMechanism) => {
      const only = { mechanisms: [mechanism] };
      await using connection = await open(only);
      expect((await connection.call('ConnectGetHostname', {})).hostname).toBe(HOSTNAME);
      const wrong = await failureOf(
        open({ ...only, password: () => 'not it' }),
        AuthenticationFailed,
      );
      expect(wrong).toMatchObject({ method: mechanism, offered: ['sasl'] });
      const nobody = await failureOf(open({ ...only, username: 'none' }), AuthenticationFailed);
      for (const error of [wrong, nobody]) expect(String(error.stack)).not.toContain('not it');
    },
  );

  it('takes the strongest of what is offered', async () => {
    const wrong = await failureOf(open({ password: () => 'no' }), AuthenticationFailed);
    expect(wrong.method).toBe('SCRAM-SHA-512');
    await (await open()).close();
  });

  it('is an error that names what is asked for where there is nothing to log in with', async () => {
    const none = Connection.open({ unixPath: host.unixPath, uri: 'qemu:///system' });
    expect(await failureOf(none, AuthenticationRequired)).toMatchObject({
      name: 'AuthenticationRequired',
      offered: ['sasl'],
      mechanisms: expect.stringContaining('DIGEST-MD5') as string,
    });
    const unable = await failureOf(open({ mechanisms: [] }), AuthenticationRequired);
    expect(unable.message).toMatch(/DIGEST-MD5/);
  });

  it('is not asked for where the daemon asks for nothing', async () => {
    const unixPath = host.readOnlyUnixPath;
    let asked = false;
    const password = (): string => {
      asked = true;
      return PASSWORD;
    };
    const sasl = { username: 'mover', password };
    const options = { unixPath, uri: 'qemu:///system', readOnly: true, sasl };
    await (await Connection.open(options)).close();
    expect(asked).toBe(false);
  });
});

const polkitPrograms = [
  '/usr/lib/polkit-1/polkitd',
  '/usr/bin/dbus-daemon',
  '/etc/polkit-1/rules.d',
];
const polkitIsHere = polkitPrograms.every((path) => existsSync(path));
if (!polkitIsHere) console.warn('! No polkitd or dbus-daemon here: polkit is NOT tried.');

describe.skipIf(!polkitIsHere)('polkit', () => {
  let host: PrivateLibvirtd;
  /** Users of every Debian; the rule admits the first and refuses the second. */
  const [admitted, refused] = ['games', 'news'];

  beforeAll(async () => {
    const rules = join(dir, 'rules.d');
    await mkdir(rules);
    await writeFile(
      join(rules, '10-test.rules'),
      `polkit.addRule(function (action, subject) {
        if (action.id != 'org.libvirt.unix.manage') return polkit.Result.NOT_HANDLED;
        return subject.user == '${admitted}' ? polkit.Result.YES : polkit.Result.NO;
      });\n`,
    );
    host = await startPrivateLibvirtd({
      dir: join(dir, 'polkit-host'),
      config: ['auth_unix_rw = "polkit"', 'unix_sock_rw_perms = "0777"'],
      before: `
        mount --bind ${rules} /etc/polkit-1/rules.d
        mkdir -p /run/dbus
        dbus-daemon --system --fork --nopidfile
        /usr/lib/polkit-1/polkitd --no-debug >/run/polkitd.log 2>&1 &
        for _ in $(seq 100); do
          dbus-send --system --dest=org.freedesktop.DBus --print-reply / \\
            org.freedesktop.DBus.GetNameOwner string:org.freedesktop.PolicyKit1 \\
            >/dev/null 2>&1 && break
          read -rt 0.1 <> <(:) || :
        done
      `,
    });
  });
  afterAll(() => host.stop());

  /** In its PID namespace, because polkit asks the kernel who the process at the other end is. */
  async function openAs(user: string): Promise<unknown> {
    const client = join(import.meta.dirname, 'unix-client-process.ts');
    const as = [`--reuid=${user}`, `--regid=${user}`, '--clear-groups'];
    const { stdout } = await host.exec(
      'setpriv',
      ...as,
      process.execPath,
      client,
      '/run/libvirt/libvirt-sock',
    );
    return JSON.parse(stdout) as unknown;
  }

  it('lets in whom its rules admit, and nobody else', async () => {
    expect(await openAs(admitted)).toEqual({ hostname: HOSTNAME });
    expect(await openAs(refused)).toMatchObject({
      name: 'AuthenticationFailed',
      method: 'polkit',
    });
  });

  it('does not ask it about root', async () => {
    expect(await openAs('root')).toEqual({ hostname: HOSTNAME });
  });
});
