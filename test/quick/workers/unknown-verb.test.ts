import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, it } from 'vitest';
import { refuseUnknownVerb } from '../../../workers/unknown-verb.ts';

it('a verb of a newer version is refused with the host, its version and what to do', async () => {
  const environment = new MockActivityEnvironment({ activityType: 'ensureTeleported' });
  const refuse = refuseUnknownVerb({ host: 'alpha', version: '0.1.0' });
  await expect(environment.run(refuse)).rejects.toMatchObject({
    type: 'host-version-too-old',
    nonRetryable: true,
    details: [
      {
        code: 'host-version-too-old',
        handling: 'needs-operator',
        message: 'alpha runs vmferry 0.1.0, which does not know `ensureTeleported`; nothing was done',
        host: 'alpha',
      },
    ],
  });
});
