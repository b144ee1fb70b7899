import { expect, it } from 'vitest';
import { Turns } from '../../../activities/turns.ts';

const { signal } = new AbortController();

it('lets as many act at once as it was told, and the next as soon as one has ended', async () => {
  const turns = new Turns(2);
  const acting: string[] = [];
  const end = new Map<string, () => void>();
  const one = (name: string) =>
    turns.take(signal, async () => {
      acting.push(name);
      await new Promise<void>((resolve) => end.set(name, resolve));
    });
  const all = ['a', 'b', 'c', 'd'].map(one);
  await Promise.resolve();
  expect(acting).toEqual(['a', 'b']);
  end.get('b')!();
  await all[1];
  expect(acting).toEqual(['a', 'b', 'c']);
  end.get('a')!();
  await all[0];
  expect(acting).toEqual(['a', 'b', 'c', 'd']);
  end.get('c')!();
  end.get('d')!();
  await Promise.all(all);
});

it('gives the turn on after a failure, and none to who gave up waiting', async () => {
  const turns = new Turns(1);
  const fails = turns.take(signal, () => Promise.reject(new Error('no room')));
  const abort = new AbortController();
  const impatient = turns.take(abort.signal, () => Promise.resolve('too early'));
  const patient = turns.take(signal, () => Promise.resolve('done'));
  abort.abort(new Error('called off'));
  await expect(impatient).rejects.toThrow('called off');
  await expect(fails).rejects.toThrow('no room');
  expect(await patient).toBe('done');
  const late = new AbortController();
  late.abort(new Error('too late'));
  await expect(turns.take(late.signal, () => Promise.resolve(1))).rejects.toThrow('too late');
});

it('lets more act at once when told so, and fewer only as those who act have ended', async () => {
  const turns = new Turns(1);
  const acting: string[] = [];
  const end = new Map<string, () => void>();
  const all = ['a', 'b', 'c'].map((name) =>
    turns.take(signal, async () => {
      acting.push(name);
      await new Promise<void>((resolve) => end.set(name, resolve));
    }),
  );
  turns.resize(2);
  await Promise.resolve();
  expect(acting).toEqual(['a', 'b']);
  turns.resize(1);
  end.get('a')!();
  await all[0];
  expect(acting).toEqual(['a', 'b']);
  end.get('b')!();
  await all[1];
  expect(acting).toEqual(['a', 'b', 'c']);
  end.get('c')!();
  await Promise.all(all);
});
