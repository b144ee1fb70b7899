import type { HostParts } from './parts.ts';
import { deniedError } from './policy-denied.ts';
import type { PolicySource } from './policy-denied.ts';

/**
 * The same parts, but a guest is powered off only where the policy allows it: whether it comes to that shows only while
 * the guest is asked to shut down. Nothing was copied then, so a refusal undoes the move.
 */
export function powerOffByPolicy(parts: HostParts, source: PolicySource): HostParts {
  const { hypervisor, name } = parts;
  const forceOff = async (uuid: string): Promise<void> => {
    const now = await source.current();
    if (now.state === 'read' && !now.policy.verbs['force-off']) {
      const what = 'the guest did not shut down, and guests may not be powered off';
      throw deniedError(name, now.policy, [{ rule: 'verbs.force-off', what }]);
    }
    await hypervisor.forceOff(uuid);
  };
  const guarded = new Proxy(hypervisor, {
    get(target, key) {
      if (key === 'forceOff') return forceOff;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { ...parts, hypervisor: guarded };
}
