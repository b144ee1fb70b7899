import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../../config/load.ts';
import { readPrivateFile, resolvePayloadKeys } from '../../../config/secrets.ts';

interface Service {
  image: string;
  restart?: string;
  ports?: string[];
  environment?: Record<string, string>;
  secrets?: string[];
  configs?: { source: string; target: string }[];
  healthcheck?: unknown;
  depends_on?: Record<string, { condition: string }>;
}
interface Compose {
  services: Record<string, Service>;
  secrets: Record<string, { file: string }>;
  configs: Record<string, { file: string }>;
}

const root = join(import.meta.dirname, '../../..');
const compose = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), {
  merge: true,
}) as Compose;
const services = Object.entries(compose.services);
const certs = join(root, 'deploy/compose/make-certs.sh');
let secrets: string;
const makeCerts = (...args: string[]) =>
  spawnSync(certs, args, {
    env: { ...process.env, VMFERRY_SECRETS: secrets },
    encoding: 'utf8',
    timeout: 30_000,
  });

beforeAll(() => {
  secrets = mkdtempSync(join(tmpdir(), 'vmferry-certs-'));
  const { status, stderr } = makeCerts();
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
});
afterAll(() => {
  rmSync(secrets, { recursive: true });
});
const read = (name: string): string => readFileSync(join(secrets, name), 'utf8');

/** A checker from $VARIABLE, PATH or .tools; these take minutes to build, so the set-up leaves them out. */
function tool(name: string, variable: string, own: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(':').map((folder) => join(folder, name));
  const found = [process.env[variable] ?? '', ...folders, join(root, own)].find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
  if (found === undefined) {
    console.warn(
      `SKIPPED: no ${name} in $${variable}, on PATH or at ${own}; docs/deployment.md says how to get it.`,
    );
  }
  return found;
}
const dockerCompose = tool('docker-compose', 'DOCKER_COMPOSE', '.tools/compose/docker-compose');
const hadolint = tool('hadolint', 'HADOLINT', '.tools/hadolint/bin/hadolint');

describe('docker-compose.yml', () => {
  it.skipIf(dockerCompose === undefined)('is accepted by Docker Compose itself', () => {
    const { status, stderr } = spawnSync(
      dockerCompose!,
      ['-f', join(root, 'docker-compose.yml'), 'config', '-q'],
      {
        encoding: 'utf8',
        timeout: 30_000,
      },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('publishes nothing beyond loopback by itself', () => {
    const published = services.flatMap(([, { ports = [] }]) => ports);
    expect(published.length).toBeGreaterThan(0);
    for (const port of published)
      expect(port).toMatch(/^(127\.0\.0\.1|\$\{VMFERRY_TEMPORAL_BIND:-127\.0\.0\.1\}):\d+:\d+$/);
  });

  it('pins every image to a full version', () => {
    for (const [, { image }] of services)
      expect(image).toMatch(/^[\w./-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?$/);
  });

  it('checks the health of everything that stays up', () => {
    for (const [name, service] of services) {
      const oneShot = service.restart?.startsWith('on-failure') === true;
      expect({ name, checked: service.healthcheck !== undefined || oneShot }).toEqual({
        name,
        checked: true,
      });
    }
  });

  it('waits for one-shots to end and for the rest to be healthy', () => {
    for (const [, { depends_on = {} }] of services) {
      for (const [on, { condition }] of Object.entries(depends_on)) {
        const oneShot = compose.services[on]?.restart?.startsWith('on-failure') === true;
        expect({ on, condition }).toEqual({
          on,
          condition: oneShot ? 'service_completed_successfully' : 'service_healthy',
        });
      }
    }
  });

  it('keeps secrets out of the environment', () => {
    for (const [, { environment = {} }] of services) {
      for (const [name, value] of Object.entries(environment)) {
        if (/PASSWORD|PWD|SECRET|TOKEN|_KEY/.test(name)) expect(value).toMatch(/^\/run\/secrets\//);
      }
    }
  });

  it('uses only secrets that it declares, and make-certs.sh makes each of them', () => {
    const used = new Set(services.flatMap(([, { secrets: names = [] }]) => names));
    expect([...used].sort()).toEqual(Object.keys(compose.secrets).sort());
    const made = readdirSync(secrets);
    for (const { file } of Object.values(compose.secrets)) expect(made).toContain(basename(file));
  });

  it('names configuration files that exist', () => {
    for (const { file } of Object.values(compose.configs))
      expect(existsSync(join(root, file))).toBe(true);
  });

  it('gives vmferry a configuration that passes its own check and that finds its secrets', async () => {
    const config = parseConfig(readFileSync(join(root, 'deploy/compose/vmferry.yaml'), 'utf8'));
    const mounted = new Set(
      compose.services['control']!.secrets!.map((name) => `/run/secrets/${name}`),
    );
    const { ca, cert, key } = config.temporal.tls!;
    for (const path of [ca, cert, key, config.encryption!.keys[0]!.key.slice(5)])
      expect(mounted).toContain(path);
    const here = {
      active: 'k1',
      keys: [{ id: 'k1', key: `file:${join(secrets, 'payload.key')}` }],
    };
    expect((await resolvePayloadKeys(here)).keys[0]!.key).toHaveLength(32);
  });
});

describe('the Dockerfile', () => {
  it.skipIf(hadolint === undefined)('is accepted by hadolint', () => {
    expect(() =>
      execFileSync(hadolint!, [join(root, 'Dockerfile')], { timeout: 30_000 }),
    ).not.toThrow();
  });

  it('is built from a folder list that leaves out secrets and tools', () => {
    const ignored = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
    expect(ignored).toContain('*');
    expect(ignored).toContain('**/secrets');
    expect(ignored.filter((line) => /^!(deploy|\.tools|\.git|test)/.test(line))).toEqual([]);
  });
});

describe('make-certs.sh', () => {
  it.each([
    ['postgresql', ['serverAuth'], 'DNS:postgresql'],
    ['temporal', ['serverAuth', 'clientAuth'], 'DNS:temporal, DNS:localhost, IP Address:127.0.0.1'],
    ['admin', ['clientAuth'], 'DNS:admin'],
    ['ui', ['clientAuth'], 'DNS:ui'],
    ['control', ['clientAuth'], 'DNS:control'],
  ])(
    'makes a certificate for %s that the CA signed, for its use and no other',
    (name, usages, names) => {
      const ca = new X509Certificate(read('ca.pem'));
      const certificate = new X509Certificate(read(`${name}.pem`));
      expect(certificate.verify(ca.publicKey)).toBe(true);
      expect(certificate.ca).toBe(false);
      expect(certificate.subjectAltName).toBe(names);
      const oids = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;
      expect(certificate.keyUsage).toEqual(usages.map((usage) => oids[usage as keyof typeof oids]));
      const key = createPublicKey(createPrivateKey(read(`${name}-key.pem`)));
      expect(key.export({ type: 'spki', format: 'pem' })).toBe(
        certificate.publicKey.export({ type: 'spki', format: 'pem' }),
      );
    },
  );

  it('lets nobody else read what is secret', async () => {
    const names = readdirSync(secrets).filter((name) => name !== 'ca.pem');
    for (const name of names)
      expect((await readPrivateFile(join(secrets, name))).length).toBeGreaterThan(0);
    expect(names.filter((name) => (statSync(join(secrets, name)).mode & 0o077) !== 0)).toEqual([]);
  });

  it.runIf(process.getuid?.() === 0)('gives each file to the user of its container', () => {
    const users = {
      'postgresql-key.pem': 999,
      'temporal-key.pem': 1000,
      'control-key.pem': 1000,
      'ui-key.pem': 5000,
      'payload.key': 1000,
    };
    for (const [name, uid] of Object.entries(users))
      expect({ name, uid: statSync(join(secrets, name)).uid }).toEqual({ name, uid });
  });

  it('writes one password for both who need it', () => {
    expect(read('postgresql-password')).toBe(read('temporal-sql-password'));
    expect(read('postgresql-password')).toMatch(/^[0-9a-f]{64}$/);
  });

  it('changes nothing in a second run, and adds what is missing', () => {
    const before = Object.fromEntries(readdirSync(secrets).map((name) => [name, read(name)]));
    rmSync(join(secrets, 'temporal-sql-password'));
    const { status, stdout } = makeCerts();
    expect(status).toBe(0);
    expect(stdout.trim()).toBe('made temporal-sql-password');
    expect(Object.fromEntries(readdirSync(secrets).map((name) => [name, read(name)]))).toEqual(
      before,
    );
  });

  it('makes certificates for host workers, and refuses names that are none', () => {
    expect(makeCerts('host', 'alpha').status).toBe(0);
    expect(new X509Certificate(read('host-alpha.pem')).subjectAltName).toBe('DNS:alpha');
    for (const name of ['../x', 'a b', '']) expect(makeCerts('host', name).status).toBe(2);
    expect(makeCerts('hosts').status).toBe(2);
  });
});
