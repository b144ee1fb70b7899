import type { CpuFacts } from '../../../host.ts';
import type { TargetView } from '../../views.ts';

/** The CPUs of both hosts, where the guest runs on them: one that is emulated does not feel them. */
export function bothCpus({
  vm,
  machine,
  sourceMachine,
}: TargetView): { source: CpuFacts; target: CpuFacts } | undefined {
  const source = sourceMachine?.cpu;
  const target = machine?.cpu;
  if (vm.domainType !== 'kvm' || source === undefined || target === undefined) return undefined;
  return { source, target };
}
