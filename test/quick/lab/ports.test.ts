import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { freePorts, isFree, isOpen } from '../../../lab/ports.ts';

it('chooses different ports, none of which the kernel gives away by itself', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const given = (server.address() as AddressInfo).port;
  expect(await isFree(given)).toBe(false);
  const ports = await freePorts(20);
  expect(new Set(ports).size).toBe(20);
  expect(Math.max(...ports)).toBeLessThan(given);
  expect(await isFree(ports[0]!)).toBe(true);
  expect([await isOpen(given), await isOpen(ports[0]!)]).toEqual([true, false]);
  server.close();
});
