import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { SourceView, TargetView } from '../../views.ts';

type Code = 'guard-not-live';

const common = {
  modes: everyMode,
  outcomes: {
    'guard-not-live': {
      level: 'critical',
      meaning:
        'libvirt on that host did not ask the guard when a probe was started: nothing would keep two hosts from running the VM.',
      remedy:
        'Run `vmferry host` as root there (it installs the libvirt hook) and restart libvirtd once, so that it sees the hook.',
    },
  },
} as const;

/** No proof that libvirt asks the guard: no cutover. */
const judge = (host: string, guard: { hookLive: boolean; detail: string }): Finding<Code>[] =>
  guard.hookLive
    ? []
    : [
        {
          code: 'guard-not-live',
          message: `the guard of ${host} is not live: ${guard.detail}`,
          remedy: `Run \`vmferry host\` as root on ${host} (it installs the libvirt hook) and restart libvirtd once, so that it sees the hook.`,
        },
      ];

export const guardOfSource: Rule<SourceView, Code> = {
  ...common,
  judge: ({ vm, guard }) => judge(vm.host, guard),
};

export const guardOfTarget: Rule<TargetView, Code> = {
  ...common,
  judge: ({ target }) => judge(target.name, target.guard),
};
