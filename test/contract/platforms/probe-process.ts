/** Started by live-checks.test.ts inside the namespaces of a private libvirtd: goes to it, prints what came of it. */
import { probeTarget } from '../../../platforms/libvirt/live/probe.ts';
import type { ProbeOptions } from '../../../platforms/libvirt/live/probe.ts';

console.log(JSON.stringify(await probeTarget(JSON.parse(process.argv[2] ?? '{}') as ProbeOptions)));
