import { expect, it } from 'vitest';
import { answered } from '../../../workers/answered.ts';

const status = (code: number): Error => Object.assign(new Error(`status ${code}`), { code });
const [deadlineExceeded, permissionDenied, unavailable] = [4, 7, 14];

/** As the SDK's connection: a call past its deadline ends with a status. */
const connection = {
  withDeadline: <T>(deadline: number | Date, call: () => Promise<T>): Promise<T> =>
    Promise.race([
      call(),
      new Promise<never>((_resolve, reject) =>
        setTimeout(() => reject(status(deadlineExceeded)), Number(deadline) - Date.now()),
      ),
    ]),
};
const limits = { callMs: 20, againMs: 1, silentMs: 5_000 };

it('asks again when the answer is lost, and when the server is not there yet', async () => {
  const answers = [
    () => new Promise<string>(() => undefined),
    () => Promise.reject(status(unavailable)),
    () => Promise.resolve('yes'),
  ];
  let calls = 0;
  const answer = await answered({ connection, what: 'it', limits }, () => answers[calls++]!());
  expect({ answer, calls }).toEqual({ answer: 'yes', calls: 3 });
});

it('takes a refusal for an answer', async () => {
  let calls = 0;
  const refused = answered({ connection, what: 'it', limits }, () => {
    calls += 1;
    return Promise.reject(status(permissionDenied));
  });
  await expect(refused).rejects.toMatchObject({ code: permissionDenied });
  expect(calls).toBe(1);
});

it('gives up on a server that stays silent, and when it is called off', async () => {
  const silent = () => new Promise<never>(() => undefined);
  const short = { ...limits, silentMs: 60 };
  await expect(answered({ connection, what: 'it', limits: short }, silent)).rejects.toMatchObject({
    code: deadlineExceeded,
  });
  const signal = AbortSignal.abort();
  await expect(answered({ connection, what: 'it', limits, signal }, silent)).rejects.toMatchObject({
    code: deadlineExceeded,
  });
});
