// The rooms and who may import whom (docs/architecture.md draws it). An import that is not listed is an error.
const rooms = {
  domain: [],
  protocols: [],
  config: ['domain'],
  transfer: ['protocols', 'domain'],
  // Of the protocols the kernel's alone, which the locks are made of.
  guard: ['protocols', 'domain'],
  pki: ['domain'],
  convert: ['domain'],
  platforms: ['protocols', 'domain'],
  activities: ['platforms', 'transfer', 'convert', 'guard', 'domain'],
  workflows: ['domain'],
  client: ['workflows', 'config', 'domain'],
  lab: ['config', 'domain', 'protocols'],
  workers: [
    'activities',
    'platforms',
    'transfer',
    'convert',
    'guard',
    'workflows',
    'config',
    'domain',
    'protocols',
    'client',
  ],
  // `vmferry guard` has to work where nothing else does any more.
  cli: ['client', 'config', 'domain', 'workers', 'lab', 'guard', 'pki'],
};
const forbidden = Object.entries(rooms).map(([room, may]) => ({
  name: `${room}-imports-only-its-floor-below`,
  severity: 'error',
  from: { path: `^${room}/` },
  to: {
    path: `^(${Object.keys(rooms).join('|')}|test|bench|scripts)/`,
    pathNot: `^(${[room, ...may].join('|')})/`,
    // workflows and the client see activities as types only
    ...(room === 'workflows' ? { dependencyTypesNot: ['type-only'] } : {}),
  },
}));
module.exports = {
  forbidden: [
    ...forbidden,
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'client-sees-only-the-contract',
      severity: 'error',
      from: { path: '^client/' },
      to: { path: '^workflows/', pathNot: '^workflows/contract\\.ts$' },
    },
    {
      name: 'protocols-know-nothing-of-each-other-but-streams-and-threads',
      severity: 'error',
      from: { path: '^protocols/([^/]+)/' },
      to: { path: '^protocols/', pathNot: '^protocols/($1|tls|threads)/' },
    },
    {
      name: 'domain-has-no-io',
      severity: 'error',
      from: { path: '^domain/' },
      to: { dependencyTypes: ['core', 'npm'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    exclude: { path: '(^|/)(node_modules|dist|\\.tools|\\.vmferry)/' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'] },
  },
};
