import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { expect, it } from 'vitest';
import { refuseUnknownVerb } from '../../../workers/unknown-verb.ts';

it('a verb of a newer version is refused with the host, its version and what to do', async () => {
  const environment = new MockActivityEnvironment(
    { activityType: 'ensureTeleported' },
    { logger: new DefaultLogger('ERROR', () => undefined) },
  );
  const refuse = refuseUnknownVerb({ host: 'alpha', version: '0.1.0' });
  await expect(environment.run(refuse)).rejects.toMatchObject({
    type: 'host-version-too-old',
    nonRetryable: true,
    details: [
      {
        code: 'host-version-too-old',
        handling: 'needs-operator',
        message:
          'alpha runs vmferry 0.1.0, which does not know `ensureTeleported`; nothing was done',
        host: 'alpha',
      },
    ],
  });
});
