import type { HostLine } from '../../../cli/ferry.ts';
import { withSlot } from '../../../domain/hosts/slots.ts';
import { newHost } from '../../../domain/hosts/state.ts';
import { vm } from '../placement/fleets.ts';
import { reading } from './readings.ts';

const at = '2026-03-04T10:00:00.000Z';

/** A host of which everything is known that can be. */
export function rememberedHost(name: string): HostLine {
  const wish = { workflowId: 'migrate/default/1', vm: vm(), by: 'named' } as const;
  const entered = withSlot(newHost, { ...wish, moveId: 'in', runId: 'r', direction: 'in' }, at);
  const left = withSlot(entered, { ...wish, moveId: 'out', direction: 'out' }, at);
  return {
    name,
    online: true,
    announcement: { name, version: '0.1.0', migrationAddress: '198.51.100.11', startedAt: at },
    state: {
      ...left,
      settings: {
        ...left.settings,
        enabled: false,
        labels: { disk: 'nvme', spare: '' },
        limits: { movesIn: 3, movesOut: 2, upBytesPerSecond: 1e9 },
        migrationAddress: '198.51.100.12',
      },
      reading: reading({ groups: { db: 2 } }),
      bandwidthTrouble: 'no worker took it up',
      changed: { operator: 'ada@desk', at },
    },
  };
}
