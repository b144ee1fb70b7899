import { listed } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { ConversionView } from '../../views.ts';

type Code = 'provider-unknown' | 'provider-of-another-kind';

export const providerUnknown: ForeignRule<ConversionView, Code> = {
  modes: everyMode,
  outcomes: {
    'provider-unknown': {
      level: 'critical',
      meaning: 'The configuration of the conversion host names no such provider.',
      remedy: 'Add it there (host.providers), or choose a host that has it: --on.',
    },
    'provider-of-another-kind': {
      level: 'critical',
      meaning:
        'The provider of that name is of another platform on this conversion host than the VM.',
      remedy: 'Choose the host whose provider it is: --on.',
    },
  },
  judge: ({ vm, request, conversionHost: { name, providers } }) => {
    const provider = providers.find((one) => one.name === request.provider);
    if (provider === undefined) {
      const names = listed(providers.map((one) => one.name));
      const message = `${name} has no provider ${request.provider}; it has: ${names}`;
      return [{ code: 'provider-unknown', message }];
    }
    return provider.kind === vm.kind
      ? []
      : [
          {
            code: 'provider-of-another-kind',
            message: `provider ${provider.name} of ${name} is ${provider.kind}, ${vm.name} is of ${vm.kind}`,
          },
        ];
  },
};
