import { describe, expect, it } from 'vitest';
import {
  AuthenticationRequired,
  CallAborted,
  CallTimeout,
  ConnectFailed,
  ConnectionLost,
  LibvirtError,
  ProtocolError,
  TooManyCalls,
} from '../../../protocols/libvirt/index.ts';
import type { DomainRef } from '../../../protocols/libvirt/index.ts';
import { events } from '../../../protocols/libvirt/events.ts';
import { MessageType, Program } from '../../../protocols/libvirt/framing.ts';
import type { Frame } from '../../../protocols/libvirt/framing.ts';
import { procedures } from '../../../protocols/libvirt/procedures.ts';
import { XdrEncoder } from '../../../protocols/libvirt/xdr.ts';
import { FakeDaemon } from './fake-daemon.ts';

const dom: DomainRef = { name: 'web-1', uuid: '11111111-2222-4333-8444-55555555aaaa', id: 3 };
const isCall =
  (name: keyof typeof procedures) =>
  (frame: Frame): boolean =>
    frame.program === Program.remote && frame.procedure === procedures[name].number;
const failureOf = async <T>(promise: Promise<unknown>, type: new (...args: never[]) => T) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(type);
  return error as T;
};

function lifecycle(callbackId: number, event: number): Frame {
  const to = new XdrEncoder();
  to.i32(callbackId);
  events.DomainEventCallbackLifecycle.payload.encode(to, { dom, event, detail: 0 });
  const procedure = events.DomainEventCallbackLifecycle.procedure;
  const { event: type } = MessageType;
  return { program: Program.remote, procedure, type, serial: 0, status: 0, body: to.finish() };
}

describe('opening', () => {
  it('keeps the versions', async () => {
    const connection = await new FakeDaemon().open();
    expect(connection.libvirtVersion).toBe(9_000_000);
    expect(connection.hypervisorVersion).toBe(7_002_022);
    await connection.close();
  });

  it('is refused with the names of what the daemon asks for, when that is only SASL', async () => {
    const daemon = new FakeDaemon();
    daemon.authTypes = [1];
    daemon.answer((call) => daemon.reply(call, 'AuthSaslInit', { mechanisms: 'scram-sha-256' }));
    const error = await failureOf(daemon.open(), AuthenticationRequired);
    expect(error.offered).toEqual(['sasl']);
    expect(error.message).toMatch(/sasl \(scram-sha-256\)/);
  });

  it('logs in by polkit when asked, and says why that failed', async () => {
    const daemon = new FakeDaemon();
    daemon.authTypes = [2];
    daemon.answer((call) => daemon.reply(call, 'AuthPolkit', { complete: 1 }));
    await (await daemon.open()).close();

    const strict = new FakeDaemon();
    strict.authTypes = [2];
    strict.answer((call) => strict.refuse(call, { code: 45, message: 'not you' }));
    const error = await failureOf(strict.open(), AuthenticationRequired);
    expect(error.message).toMatch(/by polkit failed: not you/);
  });

  it('gives up after its time, when the daemon hangs up, and when the caller says so', async () => {
    const silent = new FakeDaemon();
    silent.authTypes = [2];
    await failureOf(silent.open({ timeoutMs: 30 }), ConnectFailed);

    const gone = new FakeDaemon();
    gone.authTypes = [2];
    gone.answer(() => gone.hangUp());
    await failureOf(gone.open(), ConnectFailed);

    const aborted = new FakeDaemon();
    aborted.authTypes = [2];
    const stop = new AbortController();
    aborted.answer(() => stop.abort(new Error('enough')));
    const error = await failureOf(aborted.open({ signal: stop.signal }), ConnectFailed);
    expect(error.message).toMatch(/enough/);
    expect(aborted.clientStream.destroyed).toBe(true);
  });
});

describe('calls', () => {
  it('get their own replies, in whatever order these come', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    const waiting: Frame[] = [];
    daemon.answer((call) => {
      waiting.push(call);
      if (waiting.length < 3) return;
      for (const each of waiting.reverse()) {
        const hostname = `reply-to-${each.serial}`;
        daemon.reply(each, 'DomainGetHostname', { hostname });
      }
    });
    const replies = await Promise.all(
      Array.from({ length: 3 }, () => connection.call('DomainGetHostname', { dom })),
    );
    const serials = daemon.received.filter(isCall('DomainGetHostname')).map((each) => each.serial);
    expect(replies.map(({ hostname }) => hostname)).toEqual(
      serials.map((each) => `reply-to-${each}`),
    );
    await connection.close();
  });

  it('reject with the error of the daemon', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.answer((call) =>
      daemon.refuse(call, { code: 42, domain: 10, message: 'no domain', string1: 'web-1' }),
    );
    const error = await failureOf(
      connection.call('DomainLookupByName', { name: 'web-1' }),
      LibvirtError,
    );
    expect(error).toMatchObject({
      code: 42,
      codeName: 'NO_DOMAIN',
      domain: 10,
      message: 'no domain',
      strings: ['web-1'],
      procedure: 'DomainLookupByName',
    });
    await connection.close();
  });

  it('in flight are limited, the others wait, and both numbers have an end', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open({ maxInFlight: 2, maxQueued: 3 });
    const held: Frame[] = [];
    daemon.answer((call) => held.push(call));
    const calls = Array.from({ length: 5 }, () => connection.call('ConnectGetHostname', {}));
    await failureOf(connection.call('ConnectGetHostname', {}), TooManyCalls);
    await daemon.until(2, isCall('ConnectGetHostname'));
    expect(held).toHaveLength(2);
    daemon.answer((call) => daemon.reply(call, 'ConnectGetHostname', { hostname: 'a' }));
    for (const call of held) daemon.reply(call, 'ConnectGetHostname', { hostname: 'a' });
    expect(await Promise.all(calls)).toHaveLength(5);
    await connection.close();
  });

  it('time out with an unknown outcome; the late reply is dropped and frees the place', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open({ maxInFlight: 1 });
    const held: Frame[] = [];
    daemon.answer((call) => held.push(call));
    const sent = connection.call('DomainSuspend', { dom }, { timeoutMs: 20 });
    const unsent = connection.call('DomainResume', { dom }, { timeoutMs: 20 });
    expect((await failureOf(sent, CallTimeout)).outcomeUnknown).toBe(true);
    expect((await failureOf(unsent, CallTimeout)).outcomeUnknown).toBe(false);

    const next = connection.call('ConnectGetHostname', {});
    daemon.answer((call) => daemon.reply(call, 'ConnectGetHostname', { hostname: 'later' }));
    expect(daemon.received.some(isCall('ConnectGetHostname'))).toBe(false);
    daemon.reply(held[0]!, 'DomainSuspend', {});
    expect(await next).toEqual({ hostname: 'later' });
    expect(daemon.received.some(isCall('DomainResume'))).toBe(false);
    await connection.close();
  });

  it('are given up when the caller says so, and say whether they had been sent', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open({ maxInFlight: 1 });
    const stop = new AbortController();
    const sent = connection.call('DomainSuspend', { dom }, { signal: stop.signal });
    const unsent = connection.call('DomainResume', { dom }, { signal: stop.signal });
    await daemon.until(1, isCall('DomainSuspend'));
    stop.abort('changed my mind');
    const error = await failureOf(sent, CallAborted);
    expect(error).toMatchObject({ outcomeUnknown: true, cause: 'changed my mind' });
    expect((await failureOf(unsent, CallAborted)).outcomeUnknown).toBe(false);
    const late = connection.call('DomainResume', { dom }, { signal: stop.signal });
    expect((await failureOf(late, CallAborted)).outcomeUnknown).toBe(false);
    await connection.close();
  });

  it('with a time limit that no timer can keep are refused', async () => {
    const connection = await new FakeDaemon().open();
    for (const timeoutMs of [0, -1, Number.NaN, 2 ** 31]) {
      const call = connection.call('ConnectGetHostname', {}, { timeoutMs });
      await expect(call).rejects.toBeInstanceOf(RangeError);
    }
    await connection.close();
  });

  it('with bad arguments are refused by themselves; the connection goes on', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    await failureOf(connection.call('DomainLookupByName', { name: 'a\0b' }), ProtocolError);
    daemon.answer((call) => daemon.reply(call, 'ConnectGetHostname', { hostname: 'a' }));
    expect(await connection.call('ConnectGetHostname', {})).toEqual({ hostname: 'a' });
    await connection.close();
  });

  it('with a reply that cannot be read fail by themselves; the connection goes on', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    for (const status of [0, 1]) {
      daemon.answer((call) =>
        daemon.send({ ...call, type: MessageType.reply, status, body: Buffer.of(1, 2, 3, 4) }),
      );
      await failureOf(connection.call('ConnectGetHostname', {}), ProtocolError);
    }
    daemon.answer((call) => daemon.reply(call, 'ConnectGetHostname', { hostname: 'a' }));
    expect(await connection.call('ConnectGetHostname', {})).toEqual({ hostname: 'a' });
    await connection.close();
  });
});

describe('the end of a connection', () => {
  it('by the daemon rejects every call and says which had been sent', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open({ maxInFlight: 1 });
    daemon.answer(() => daemon.hangUp());
    const sent = connection.call('DomainSuspend', { dom });
    const unsent = connection.call('DomainResume', { dom });
    const error = await failureOf(sent, ConnectionLost);
    expect(error).toMatchObject({ outcomeUnknown: true, kind: 'peer', procedure: 'DomainSuspend' });
    expect((await failureOf(unsent, ConnectionLost)).outcomeUnknown).toBe(false);
    expect(await connection.closed).toMatchObject({ kind: 'peer' });
    const late = await failureOf(connection.call('DomainResume', { dom }), ConnectionLost);
    expect(late.outcomeUnknown).toBe(false);
    await connection.close();
  });

  it('by close() rejects what is pending, twice is once', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    const pending = failureOf(connection.call('DomainSuspend', { dom }), ConnectionLost);
    await daemon.until(1, isCall('DomainSuspend'));
    await Promise.all([connection.close(), connection.close()]);
    expect(await pending).toMatchObject({ outcomeUnknown: true, kind: 'local' });
    expect(daemon.received.filter(isCall('ConnectClose'))).toHaveLength(1);
    expect(await connection.closed).toMatchObject({ kind: 'local' });
  });

  it.each<[string, (daemon: FakeDaemon) => void]>([
    ['bytes that are no message', (daemon) => daemon.sendBytes(Buffer.alloc(40))],
    [
      'a reply to a call that was not made',
      (daemon) =>
        daemon.send({
          program: Program.remote,
          procedure: 59,
          type: MessageType.reply,
          serial: 4711,
          status: 0,
          body: Buffer.alloc(0),
        }),
    ],
    [
      'a reply of another program',
      (daemon) =>
        daemon.send({ ...lifecycle(1, 2), program: 0x2000_8087, type: MessageType.reply }),
    ],
    ['a call', (daemon) => daemon.send({ ...lifecycle(1, 2), type: MessageType.call })],
    [
      'an event that cannot be read',
      (daemon) => daemon.send({ ...lifecycle(1, 2), body: Buffer.of(1) }),
    ],
  ])('comes with %s', async (_name, misbehave) => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.answer(() => misbehave(daemon));
    const error = await failureOf(connection.call('DomainSuspend', { dom }), ConnectionLost);
    expect(error).toMatchObject({ outcomeUnknown: true, kind: 'protocol' });
    expect(await connection.closed).toMatchObject({ kind: 'protocol' });
    expect(daemon.clientStream.destroyed).toBe(true);
  });
});

describe('keep-alive', () => {
  const isKeepAlive = (procedure: number) => (frame: Frame) =>
    frame.program === Program.keepAlive && frame.procedure === procedure;
  const keepAliveFrame = (procedure: number): Frame => ({
    program: Program.keepAlive,
    procedure,
    type: MessageType.event,
    serial: 0,
    status: 0,
    body: Buffer.alloc(0),
  });

  it('answers the pings of the daemon, also when it sends none itself', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.send(keepAliveFrame(1));
    await daemon.until(1, isKeepAlive(2));
    await connection.close();
  });

  it('notices a daemon that is silent', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open({ keepAlive: { intervalMs: 10, count: 2 } });
    const error = await failureOf(connection.call('DomainSuspend', { dom }), ConnectionLost);
    expect(error).toMatchObject({ outcomeUnknown: true, kind: 'keep-alive' });
    expect(daemon.received.filter(isKeepAlive(1))).toHaveLength(2);
    expect(await connection.closed).toMatchObject({ kind: 'keep-alive' });
  });

  it('keeps a connection whose daemon answers pings, however long a call takes', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open({ keepAlive: { intervalMs: 10, count: 2 } });
    const held: Frame[] = [];
    daemon.answer((call) => held.push(call));
    const call = connection.call('ConnectGetHostname', {});
    for (let pings = 1; pings <= 8; pings++) {
      await daemon.until(pings, isKeepAlive(1));
      daemon.send(keepAliveFrame(2));
    }
    daemon.reply(held[0]!, 'ConnectGetHostname', { hostname: 'slow' });
    expect(await call).toEqual({ hostname: 'slow' });
    await connection.close();
  });

  it('is left out with a daemon that does not know it', async () => {
    const daemon = new FakeDaemon();
    daemon.keepAlive = 0;
    const connection = await daemon.open({ keepAlive: { intervalMs: 1, count: 1 } });
    const call = connection.call('ConnectGetHostname', {}, { timeoutMs: 40 });
    await failureOf(call, CallTimeout);
    expect(daemon.received.some(isKeepAlive(1))).toBe(false);
    await connection.close();
  });
});

describe('events', () => {
  it('reach their handler in order, until it is stopped', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    const seen: number[] = [];
    daemon.answer((call, name) => {
      if (name === 'ConnectDomainEventCallbackRegisterAny') {
        daemon.reply(call, name, { callbackId: 7 });
        for (const event of [0, 2, 5]) daemon.send(lifecycle(7, event));
        daemon.send(lifecycle(8, 1));
      } else {
        daemon.send(lifecycle(7, 6));
        daemon.reply(call, 'ConnectDomainEventCallbackDeregisterAny', {});
      }
    });
    const arrived = Promise.withResolvers<undefined>();
    const subscription = await connection.onLifecycle(({ event }) => {
      seen.push(event);
      if (event === 5) arrived.resolve(undefined);
    });
    await arrived.promise;
    await Promise.all([subscription.stop(), subscription.stop()]);
    expect(seen).toEqual([0, 2, 5]);
    await connection.close();
  });

  it('that overtake the answer to their registration are not lost', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.answer((call) => {
      daemon.send(lifecycle(9, 2));
      daemon.send(lifecycle(10, 3));
      daemon.reply(call, 'ConnectDomainEventCallbackRegisterAny', { callbackId: 9 });
    });
    const seen: number[] = [];
    await connection.onLifecycle(({ event }) => seen.push(event));
    expect(seen).toEqual([2]);
    await connection.close();
  });

  it('have one registration for all who want them, since libvirt refuses a second', async () => {
    const daemon = new FakeDaemon();
    const errors: unknown[] = [];
    const connection = await daemon.open({ onHandlerError: (error) => errors.push(error) });
    const asked: string[] = [];
    let callbackId = 3;
    daemon.answer((call, name) => {
      asked.push(name ?? '');
      if (name === 'ConnectDomainEventCallbackRegisterAny')
        daemon.reply(call, name, { callbackId });
      else daemon.reply(call, 'ConnectDomainEventCallbackDeregisterAny', {});
    });
    const seen: string[] = [];
    const arrived = Promise.withResolvers<undefined>();
    const [first, second] = await Promise.all([
      connection.onLifecycle(({ event }) => {
        seen.push(`first ${event}`);
        throw new Error('first');
      }),
      connection.onLifecycle(({ event }) => {
        seen.push(`second ${event}`);
        arrived.resolve(undefined);
      }),
    ]);
    daemon.send(lifecycle(3, 2));
    await arrived.promise;
    expect(seen).toEqual(['first 2', 'second 2']);
    expect(errors).toHaveLength(1);
    await first.stop();
    expect(asked).toEqual(['ConnectDomainEventCallbackRegisterAny']);
    // The last one leaves as another comes: the daemon hears of both, one after the other.
    callbackId = 4;
    const third = Promise.withResolvers<number>();
    await Promise.all([second.stop(), connection.onLifecycle(({ event }) => third.resolve(event))]);
    daemon.send(lifecycle(4, 5));
    expect(await third.promise).toBe(5);
    expect(asked).toEqual([
      'ConnectDomainEventCallbackRegisterAny',
      'ConnectDomainEventCallbackDeregisterAny',
      'ConnectDomainEventCallbackRegisterAny',
    ]);
    await connection.close();
  });

  it('whose handler throws tell so, and the next handlers are still called', async () => {
    const daemon = new FakeDaemon();
    const errors: unknown[] = [];
    const connection = await daemon.open({ onHandlerError: (error) => errors.push(error) });
    daemon.answer((call) => {
      daemon.reply(call, 'ConnectDomainEventCallbackRegisterAny', { callbackId: 1 });
      daemon.send(lifecycle(1, 2));
      daemon.send(lifecycle(1, 5));
    });
    const arrived = Promise.withResolvers<undefined>();
    await connection.onLifecycle(({ event }) => {
      if (event === 5) arrived.resolve(undefined);
      throw new Error(`no to ${event}`);
    });
    await arrived.promise;
    await connection.close();
    expect(errors.map(String)).toEqual(['Error: no to 2', 'Error: no to 5']);
  });
});
