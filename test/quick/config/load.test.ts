import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configJsonSchema } from '../../../config/json-schema.ts';
import type { JsonSchema } from '../../../config/json-schema.ts';
import { findConfig, loadConfig, parseConfig } from '../../../config/load.ts';
import { ConfigError, nearest, type ConfigProblem } from '../../../config/problems.ts';

const problemsOf = (text: string): readonly ConfigProblem[] => {
  try {
    parseConfig(text, 'f.yaml');
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};
const problemOf = (text: string): ConfigProblem => {
  const problems = problemsOf(text);
  expect(problems).toHaveLength(1);
  return problems[0]!;
};

const full = `
cluster: east
temporal:
  address: temporal.example:7233
  namespace: vms
  tls: { ca: /t/ca.pem, cert: /t/cert.pem, key: /t/key.pem, serverName: temporal }
  apiKey: env:TEMPORAL_KEY
encryption:
  keys:
    - { id: k1, key: file:/etc/vmferry/payload.key }
    - { id: k2, key: exec:/usr/bin/vault read k2 }
  active: k2
host:
  name: alpha
  migrationAddress: 198.51.100.11
  exportPorts: 49300-49310
  limits: { bandwidth: 100MiB/s, parallelCopies: 4 }
  tls: { cert: /own/cert.pem }
codecServer:
  listen: '[::1]:8234'
  origins: [http://127.0.0.1:8233]
log: { level: debug }
`;

describe('a configuration', () => {
  it('is read in full, with defaults filled in', () => {
    const config = parseConfig(full);
    expect(config.temporal).toMatchObject({ namespace: 'vms', tls: { serverName: 'temporal' } });
    expect(config.encryption?.active).toBe('k2');
    expect(config.host).toEqual({
      name: 'alpha',
      libvirt: { uri: 'qemu:///system', socket: '/run/libvirt/libvirt-sock' },
      stateDir: '/var/lib/vmferry',
      migrationAddress: '198.51.100.11',
      exportPorts: { first: 49300, last: 49310 },
      tls: {
        dir: '/etc/pki/qemu',
        ca: '/etc/pki/qemu/ca-cert.pem',
        cert: '/own/cert.pem',
        key: '/etc/pki/qemu/client-key.pem',
      },
      limits: { bandwidth: 104_857_600, parallelCopies: 4 },
      hooksDir: '/etc/libvirt/hooks',
      providers: {},
      conversion: {
        ...{ cacheSeconds: 86_400, parallel: 10, rehearsalChecks: {}, secrets: {} },
        limits: { down: 0, up: 0 },
      },
    });
    expect(config.codecServer?.listen).toEqual({ host: '::1', port: 8234 });
  });

  it.each(['', '# nothing\n', '{}'])('that is empty (%j) means the local defaults', (text) => {
    expect(parseConfig(text)).toEqual({
      cluster: 'default',
      temporal: { address: '127.0.0.1:7233', namespace: 'default' },
      log: { level: 'info' },
    });
  });

  it('is frozen all the way down', () => {
    const config = parseConfig(full) as { host: { limits: { bandwidth: number } } };
    expect(() => {
      config.host.limits.bandwidth = 1;
    }).toThrow(TypeError);
  });

  it('holds references, never secrets', () => {
    const config = parseConfig(full);
    expect(JSON.stringify(config.encryption)).toContain('"file:/etc/vmferry/payload.key"');
  });
});

describe('a wrong configuration', () => {
  it('is told with file, line, column, key, expectation and remedy, all problems at once', () => {
    const text =
      'clustr: x\nhost:\n  name: alpha\n  migrationAddress: nowhere\n  limits: { parallelCopies: 0 }\n';
    expect(() => parseConfig(text, '/etc/vmferry.yaml')).toThrow(
      [
        '/etc/vmferry.yaml:1:1: clustr: unknown key. Did you mean `cluster`?',
        "/etc/vmferry.yaml:4:21: host.migrationAddress: expected an IP address. Write it as in `migrationAddress: '198.51.100.11'`.",
        '/etc/vmferry.yaml:5:29: host.limits.parallelCopies: expected a whole number from 1 to 64. Write it as in `parallelCopies: 2`.',
      ].join('\n'),
    );
  });

  it.each<[string, string, Partial<ConfigProblem>]>([
    [
      'an unknown key deep down',
      'temporal:\n  tls:\n    serverNam: x',
      { line: 3, column: 5, key: 'temporal.tls.serverNam', remedy: 'Did you mean `serverName`?' },
    ],
    [
      'an unknown key that is like none',
      'log:\n  zzzzzz: 1',
      { line: 2, column: 3, remedy: 'Known here: level.' },
    ],
    [
      'an unknown key in a list',
      'encryption:\n  active: k1\n  keys:\n    - id: k1\n      key: env:K\n      keyy: 1',
      { line: 6, column: 7, key: 'encryption.keys[0].keyy' },
    ],
    [
      'a key that is missing',
      'host:\n  name: alpha\n',
      { key: 'host.migrationAddress', message: 'is missing; expected an IP address', line: 1 },
    ],
    [
      'a wrong type',
      'cluster: 7',
      { line: 1, column: 10, message: 'expected the name of the cluster' },
    ],
    [
      'a list where a map belongs',
      'temporal: [1]',
      { line: 1, column: 11, message: 'expected object, received array' },
    ],
    ['a whole file that is a list', '- a', { line: 1, column: 1, key: '' }],
    [
      'a certificate without its key',
      'temporal:\n  tls: { cert: /a }',
      { key: 'temporal.tls', message: 'expected `cert` and `key` together, or neither' },
    ],
    [
      'an active key that is not there',
      'encryption: { active: k9, keys: [{ id: k1, key: env:K }] }',
      { key: 'encryption.active', column: 23 },
    ],
    [
      'a key ID used twice',
      'encryption: { active: k1, keys: [{ id: k1, key: env:K }, { id: k1, key: env:L }] }',
      { key: 'encryption.keys' },
    ],
    [
      'ports the wrong way round',
      'host: { name: a, migrationAddress: ::1, exportPorts: 49399-49300 }',
      { key: 'host.exportPorts' },
    ],
    [
      'a rate that is none',
      'host: { name: a, migrationAddress: ::1, limits: { bandwidth: 100 furlongs } }',
      { key: 'host.limits.bandwidth' },
    ],
    [
      'an open codec server without a token',
      'codecServer: { listen: 0.0.0.0:8234 }',
      { key: 'codecServer.listen' },
    ],
    [
      'an origin with a path',
      'codecServer: { origins: [http://a/b] }',
      { key: 'codecServer.origins[0]' },
    ],
    ['a port that is none', 'temporal: { address: a:70000 }', { key: 'temporal.address' }],
    ['a YAML error', 'cluster: "a\nlog: {', { line: 2 }],
    ['a key twice', 'cluster: a\ncluster: b', { line: 2, message: 'this key stands here twice' }],
    ['an unknown tag', 'cluster: !!js/function a', { line: 1 }],
  ])('%s is found where it stands', (_what, text, expected) => {
    const problems = problemsOf(text);
    expect(problems[0]).toMatchObject(expected);
    expect(problems[0]!.remedy).not.toBe('');
  });

  it('never repeats a value: a secret may stand where a reference belongs', () => {
    const text =
      'encryption: { active: k1, keys: [{ id: k1, key: swordfish }] }\ntemporal: { apiKey: swordfish }\nswordfis: 1';
    expect(problemsOf(text)).toHaveLength(3);
    expect(() => parseConfig(text)).not.toThrow(/swordfish/);
  });

  it('with aliases that multiply is refused', () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(', ')}]`,
    );
    expect(() => parseConfig(`a0: &a0 [x]\n${levels.join('\n')}`)).toThrow(/alias/i);
  });

  it('prefers the nearest known key, and none over a far one', () => {
    expect(problemOf('logg: {}').remedy).toBe('Did you mean `log`?');
    expect(nearest('hsot', ['host', 'log'])).toBe('host');
    expect(nearest('migrationAdress', ['migrationAddress'])).toBe('migrationAddress');
    expect(nearest('EXPORTPORTS', ['exportPorts'])).toBe('exportPorts');
    expect(nearest('banana', ['host', 'log'])).toBeUndefined();
  });
});

describe('the file', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'vmferry-config-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });
  const write = (name: string, cluster: string): string => {
    writeFileSync(join(dir, name), `cluster: ${cluster}\n`);
    return join(dir, name);
  };

  it('is --config, then $VMFERRY_CONFIG, then ./vmferry.yaml, then the system one', () => {
    const systemPath = write('system.yaml', 'system');
    const options = { cwd: dir, systemPath, env: {} };
    expect(loadConfig(options).cluster).toBe('system');
    write('vmferry.yaml', 'here');
    expect(loadConfig(options).cluster).toBe('here');
    const env = { VMFERRY_CONFIG: write('env.yaml', 'env') };
    expect(loadConfig({ ...options, env }).cluster).toBe('env');
    write('flag.yaml', 'flag');
    expect(loadConfig({ ...options, env, path: 'flag.yaml' }).cluster).toBe('flag');
  });

  it('that was named but is not there is an error, never skipped', () => {
    write('vmferry.yaml', 'here');
    expect(() => findConfig({ cwd: dir, env: { VMFERRY_CONFIG: 'gone.yaml' } })).toThrow(
      /\$VMFERRY_CONFIG names .*gone\.yaml/,
    );
    expect(() => findConfig({ cwd: dir, env: {}, path: 'gone.yaml' })).toThrow(/--config names/);
  });

  it('that is nowhere is an error that lists the places', () => {
    expect(() => loadConfig({ cwd: dir, env: {}, systemPath: join(dir, 'none') })).toThrow(
      /vmferry\.yaml nor .*none/,
    );
  });

  it('that is a folder or too big is refused', () => {
    mkdirSync(join(dir, 'folder'));
    writeFileSync(join(dir, 'big'), ' '.repeat(1024 * 1024 + 1));
    for (const path of ['folder', 'big']) {
      expect(() => loadConfig({ cwd: dir, env: {}, path })).toThrow(
        expect.objectContaining({ code: 'config-unreadable' }),
      );
    }
  });
});

describe('the JSON Schema', () => {
  it('in the repository is what the code says (`npm run build` writes it)', () => {
    const file = new URL('../../../config/vmferry-config.schema.json', import.meta.url);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(configJsonSchema())),
    );
  });

  /** Every key with its description and its way from the top. */
  function* keys(
    schema: JsonSchema | boolean | undefined,
    path = '',
  ): Generator<{ path: string; name: string; description: string | undefined }> {
    if (typeof schema !== 'object') return;
    for (const [name, part] of Object.entries(schema.properties ?? {})) {
      yield { path: `${path}${name}`, name, description: part.description };
      yield* keys(part, `${path}${name}.`);
    }
    yield* keys(schema.items, `${path}[].`);
    yield* keys(schema.additionalProperties, `${path}*.`);
    for (const form of schema.oneOf ?? []) yield* keys(form, path);
  }

  it('describes every key, for editors and for the documentation', () => {
    const all = [...keys(configJsonSchema())];
    expect(all.filter(({ description }) => description === undefined)).toEqual([]);
    expect(all.map(({ path }) => path)).toContain('host.providers.*.jump.[].hostKey');
  });

  it('has every key in docs/configuration.md', () => {
    const page = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    const names = new Set([...keys(configJsonSchema())].map(({ name }) => name));
    expect([...names].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it('has the example of docs/configuration.md pass the check', () => {
    const page = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!);
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) expect(problemsOf(example)).toEqual([]);
  });
});
