/** What `vmferry doctor` says of this host's own policy. */
import { stat } from 'node:fs/promises';
import type { HostConfig } from '../config/schema.ts';
import { PolicyFile } from '../workers/policy-file.ts';
import type { Finding } from './checks.ts';

const check = 'Policy';

/** Whether the policy file is there and can be used; no file that nobody named is no fault. Does not reject. */
export async function policyFinding({
  policy: path,
}: Pick<HostConfig, 'policy'>): Promise<Finding> {
  const now = await new PolicyFile(path === undefined ? {} : { path }).current();
  if (now.state === 'read') {
    const { file } = now.policy;
    const isThere = await stat(file).then(
      () => true,
      () => false,
    );
    return {
      check,
      state: 'good',
      detail: isThere ? file : `none, so everything is allowed; ${file} would limit it`,
    };
  }
  const { file, reason } = now;
  if (reason.startsWith('EACCES'))
    return { check, state: 'unknown', detail: `this user may not look at ${file}` };
  return {
    check,
    state: 'bad',
    detail: `${file} cannot be used: ${reason}`,
    remedy: 'Mend it, which counts at once; until then the host lets nothing new in.',
  };
}
