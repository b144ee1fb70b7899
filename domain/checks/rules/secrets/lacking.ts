import type { SecretRef } from '../../../vm.ts';
import type { TargetView } from '../../views.ts';

/** A secret that the target does not have. */
interface Lacking {
  /** As people know it. */
  named: string;
  /** Whether the source gives its value out; a private one it never does. */
  readable: boolean;
}

export const lackingSecrets = ({ vm, missingSecrets }: TargetView): Lacking[] =>
  missingSecrets.map((secret: SecretRef) => {
    const named = secret.uuid ?? `${secret.usageType ?? 'none'} ${secret.usage ?? ''}`.trim();
    const known = vm.secrets?.find((one) => one.uuid === secret.uuid && one.usage === secret.usage);
    return { named, readable: known?.readable === true };
  });
