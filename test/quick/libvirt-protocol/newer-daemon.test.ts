/** Daemons that know more, or less, than this client. */
import { describe, expect, it } from 'vitest';
import {
  Abilities,
  byFirstWay,
  ConnectionLost,
  Feature,
  Lack,
  lackOf,
  LibvirtError,
} from '../../../protocols/libvirt/index.ts';
import { events } from '../../../protocols/libvirt/events.ts';
import { MessageType, Program } from '../../../protocols/libvirt/framing.ts';
import type { Frame } from '../../../protocols/libvirt/framing.ts';
import { procedures, wireCallOf } from '../../../protocols/libvirt/procedures.ts';
import { remoteError } from '../../../protocols/libvirt/types.ts';
import { XdrEncoder } from '../../../protocols/libvirt/xdr.ts';
import { FakeDaemon } from './fake-daemon.ts';

const dom = { name: 'web-1', uuid: '11111111-2222-4333-8444-55555555aaaa', id: 3 };
const more = Buffer.from('0000002a00000007', 'hex');
const eventFrame = (changes: Partial<Frame>): Frame => ({
  program: Program.remote,
  procedure: events.DomainEventCallbackLifecycle.procedure,
  type: MessageType.event,
  serial: 0,
  status: 0,
  body: Buffer.alloc(0),
  ...changes,
});
function lifecycleBody(event: number, rest: Uint8Array = Buffer.alloc(0)): Buffer {
  const to = new XdrEncoder();
  to.i32(7);
  events.DomainEventCallbackLifecycle.payload.encode(to, { dom, event, detail: 4711 });
  return Buffer.concat([to.finish(), rest]);
}

describe('a daemon that knows more', () => {
  it('may send longer replies, errors and events: what is known is read, the rest is told of', async () => {
    const daemon = new FakeDaemon();
    const surplus: [string, number][] = [];
    const onSurplus = (message: string, bytes: number): void => void surplus.push([message, bytes]);
    const connection = await daemon.open({ onSurplus });
    const withMore = (call: Frame, status: number, body: Uint8Array): void =>
      daemon.send({ ...call, type: MessageType.reply, status, body: Buffer.concat([body, more]) });
    daemon.answer((call) => {
      const to = new XdrEncoder();
      wireCallOf('ConnectGetHostname').result.encode(to, { hostname: 'kvm1' });
      withMore(call, 0, to.finish());
    });
    expect(await connection.call('ConnectGetHostname', {})).toEqual({ hostname: 'kvm1' });
    daemon.answer((call) => {
      const to = new XdrEncoder();
      const body = { code: 42, domain: 10, level: 2, int1: 0, int2: 0, message: 'no domain' };
      remoteError.encode(to, body);
      withMore(call, 1, to.finish());
    });
    await expect(connection.call('ConnectGetHostname', {})).rejects.toMatchObject({ code: 42 });
    const arrived = Promise.withResolvers<unknown>();
    daemon.answer((call, name) => {
      if (name !== 'ConnectDomainEventCallbackRegisterAny') return;
      daemon.reply(call, name, { callbackId: 7 });
      daemon.send(eventFrame({ body: lifecycleBody(2, more) }));
    });
    await connection.onLifecycle(arrived.resolve);
    expect(await arrived.promise).toMatchObject({ dom, event: 2 });
    expect(surplus).toEqual([
      ['ConnectGetHostname', 8],
      ['the error body', 8],
      ['DomainEventCallbackLifecycle', 8],
    ]);
    await connection.close();
  });

  it('may send states, details and error codes that have no name here', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.answer((call) => daemon.reply(call, 'DomainGetState', { state: 4711, reason: -5 }));
    expect(await connection.call('DomainGetState', { dom })).toEqual({ state: 4711, reason: -5 });
    daemon.answer((call) => daemon.refuse(call, { code: 4711, domain: 999, message: 'new' }));
    const refused = connection.call('DomainGetState', { dom });
    await expect(refused).rejects.toMatchObject({ codeName: 'UNKNOWN', code: 4711 });
    await connection.close();
  });

  it.each<[string, Partial<Frame>]>([
    ['an event of another program', { program: 0x2000_8087, body: Buffer.alloc(5) }],
    ['an event of a number that is unknown', { procedure: 9999, body: Buffer.alloc(3) }],
    [
      'a keep-alive message of a number that is unknown',
      { program: Program.keepAlive, procedure: 3 },
    ],
  ])('may send %s, which is passed by', async (_name, changes) => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.send(eventFrame(changes));
    daemon.answer((call) => daemon.reply(call, 'ConnectGetHostname', { hostname: 'a' }));
    expect(await connection.call('ConnectGetHostname', {})).toEqual({ hostname: 'a' });
    await connection.close();
  });
});

const refusal = (code: number, message = 'no'): LibvirtError =>
  new LibvirtError('X', { code, domain: 0, level: 2, int1: 0, int2: 0, message });

describe('what a daemon lacks', () => {
  it.each([
    [39, 'unknown procedure: 442', Lack.call],
    [39, 'Unable to decode message payload', undefined],
    [3, 'this function is not supported by the connection driver', Lack.driver],
    [74, 'argument unsupported', Lack.argument],
    [8, 'unsupported flags (0x80) in function qemuDomainAbortJobFlags', Lack.argument],
    [8, 'invalid argument: disk has no name', undefined],
    [84, 'Operation not supported', Lack.operation],
    [67, 'unsupported configuration', Lack.operation],
    [1, 'internal error', undefined],
  ])('is told from code %i, "%s"', (code, message, lack) => {
    expect(lackOf(refusal(code, message))).toBe(lack);
  });

  it('is no matter of other errors', () => {
    expect(lackOf(new Error('unknown procedure'))).toBeUndefined();
  });

  it('leads to the next way, and only that does', async () => {
    const tried: string[] = [];
    const way = (name: string, error?: Error) => (): Promise<string> => {
      tried.push(name);
      return error === undefined ? Promise.resolve(name) : Promise.reject(error);
    };
    const older = refusal(39, 'unknown procedure: 1');
    expect(await byFirstWay([way('new', older), way('old'), way('never')])).toBe('old');
    await expect(byFirstWay([way('a', refusal(1)), way('never')])).rejects.toMatchObject({
      code: 1,
    });
    await expect(byFirstWay([way('b', older), way('c', refusal(3))])).rejects.toMatchObject({
      code: 3,
    });
    expect(tried).toEqual(['new', 'old', 'a', 'b', 'c']);
  });

  it('is asked for once, without doing anything', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.answer((call, name) => {
      expect(call.body.length).toBe(0);
      if (name === 'DomainAbortJobFlags') {
        daemon.refuse(call, { code: 39, message: 'unknown procedure: 442' });
      } else daemon.refuse(call, { code: 39, message: 'Unable to decode message payload' });
    });
    const abilities = new Abilities(connection);
    for (let times = 0; times < 2; times++) {
      expect(await abilities.knowsCall('DomainAbortJobFlags')).toBe(false);
      expect(await abilities.knowsCall('DomainBackupBegin')).toBe(true);
      expect(await abilities.hasFeature(Feature.migrationP2p)).toBe(true);
    }
    const numbers = daemon.received.map(({ procedure }) => procedure);
    const { DomainAbortJobFlags, DomainBackupBegin } = procedures;
    for (const { number } of [DomainAbortJobFlags, DomainBackupBegin]) {
      expect(numbers.filter((each) => each === number)).toHaveLength(1);
    }
    expect(() => abilities.knowsCall('ConnectClose')).toThrow(RangeError);
    await connection.close();
    const lost = abilities.knowsCall('DomainSuspend');
    await expect(lost).rejects.toBeInstanceOf(ConnectionLost);
  });
});

it('with a daemon of one request a client there is one call at a time, and no keep-alive', async () => {
  const daemon = new FakeDaemon();
  const keepAlive = { intervalMs: 1, count: 1 };
  const connection = await daemon.open({ maxClientRequests: 1, keepAlive });
  const held: Frame[] = [];
  daemon.answer((call) => held.push(call));
  const calls = [0, 1, 2].map(() => connection.call('ConnectGetHostname', {}));
  const order: number[] = [];
  calls.forEach((call, index) => void call.then(() => order.push(index)));
  for (const count of [1, 2, 3]) {
    await daemon.until(count, ({ procedure }) => procedure === 59);
    expect(held).toHaveLength(count);
    daemon.reply(held[count - 1]!, 'ConnectGetHostname', { hostname: 'a' });
    await calls[count - 1];
  }
  expect(order).toEqual([0, 1, 2]);
  const asked = daemon.received.some(({ program, procedure }) =>
    program === Program.keepAlive ? true : procedure === procedures.ConnectSupportsFeature.number,
  );
  expect(asked).toBe(false);
  await connection.close();
});
