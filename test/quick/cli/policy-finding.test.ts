import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { policyFinding } from '../../../cli/policy-finding.ts';

function policy(text?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'vmferry-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'policy.yaml');
  if (text !== undefined) writeFileSync(path, text, { mode: 0o600 });
  return path;
}

describe('the policy of this host', () => {
  it('is named where it can be used', async () => {
    const path = policy('peers: [beta]\n');
    expect(await policyFinding({ policy: path })).toMatchObject({ state: 'good', detail: path });
  });

  it('is a fault where it is broken, or named and not there', async () => {
    for (const path of [policy('peers: 3\n'), policy()]) {
      const finding = await policyFinding({ policy: path });
      expect(finding).toMatchObject({ state: 'bad' });
      expect(finding.detail).toContain(`${path} cannot be used: `);
      expect(finding.remedy).toContain('Mend it');
    }
  });
});
