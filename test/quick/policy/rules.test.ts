import { expect, it } from 'vitest';
import { denials, matches, openPolicy } from '../../../domain/policy.ts';
import type { Policy, PolicyAct } from '../../../domain/policy.ts';

const policy = (change: Partial<Policy> = {}): Policy => ({ ...openPolicy('/p.yaml'), ...change });
const act = (change: Partial<PolicyAct> = {}): PolicyAct => ({
  verbs: ['move-away'],
  peer: 'beta',
  operator: 'ada@desk',
  disks: [{ path: '/images/web.qcow2', pool: 'default' }],
  ...change,
});
const rules = (p: Policy, a: PolicyAct): string[] => denials(p, a).map(({ rule }) => rule);

it('allows everything without a file', () => {
  expect(denials(policy(), act({ verbs: ['move-here', 'force-off', 'remove-source'] }))).toEqual(
    [],
  );
});

it.each([
  ['a verb', { verbs: { ...policy().verbs, 'move-away': false } }, {}, ['verbs.move-away']],
  ['a peer', { peers: ['rack1-*'] }, {}, ['peers']],
  ['a denied operator', { operators: { allow: ['*'], deny: ['ada@*'] } }, {}, ['operators.deny']],
  ['an unlisted operator', { operators: { allow: ['eve@*'], deny: [] } }, {}, ['operators.allow']],
  ['a pool', { pools: ['fast'] }, {}, ['pools']],
  ['a disk in no pool', { pools: ['fast'] }, { disks: [{ path: '/a', pool: '' }] }, ['pools']],
  ['a path', { paths: ['/srv'] }, {}, ['paths']],
  ['a neighbour of an allowed folder', { paths: ['/image'] }, {}, ['paths']],
  ['a way out of a folder', { paths: ['/s'] }, { disks: [{ path: '/s/../etc/x' }] }, ['paths']],
  ['the whole root only by name', { paths: ['/images/web'] }, {}, ['paths']],
] as const)('refuses %s', (_, change, asked, expected) => {
  expect(rules(policy(change), act(asked as Partial<PolicyAct>))).toEqual(expected);
});

it('names every rule that forbids, and what it says', () => {
  const strict = policy({ peers: [], operators: { allow: [], deny: [] }, paths: [] });
  expect(rules(strict, act())).toEqual(['peers', 'operators.allow', 'paths']);
  expect(denials(strict, act())[0]?.what).toContain('beta');
});

it('lets what a listed folder, pool or pattern holds', () => {
  const p = policy({ paths: ['/images/', '/srv'], pools: ['default'], peers: ['b*a'] });
  expect(denials(p, act())).toEqual([]);
  expect(denials(policy({ paths: ['/'] }), act())).toEqual([]);
});

it('takes an operator whom nobody knows for nobody in particular', () => {
  expect(
    rules(policy({ operators: { allow: ['?', 'ada'], deny: [] } }), act({ operator: '' })),
  ).toEqual(['operators.allow']);
  expect(rules(policy(), act({ operator: '' }))).toEqual([]);
});

it.each([
  ['*', '', true],
  ['a*', 'alpha', true],
  ['*a', 'alpha', true],
  ['a*p*a', 'alpha', true],
  ['a*a', 'a', false],
  ['al*pha', 'alpha', true],
  ['alp*pha', 'alpha', false],
  ['alpha', 'alpha2', false],
  ['*x*', 'alpha', false],
  ['a.*', 'alpha', false],
])('%s and %s: %s', (pattern, text, expected) => {
  expect(matches(pattern, text)).toBe(expected);
});
