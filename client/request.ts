/** What a person asked for, made whole. */
import { permanent } from '../domain/errors.ts';
import { moveDefaults } from '../domain/move.ts';
import type { MoveRequest } from '../domain/move.ts';
import type { PlacementWishes } from '../domain/placement/choose.ts';

/** Without `to` the fleet's rules choose the host, as far as the wishes allow. */
export type MigrateRequest = Partial<MoveRequest> &
  Pick<MoveRequest, 'vm' | 'from'> &
  PlacementWishes;

/** What nobody chose is as `moveDefaults` has it. */
export function withDefaults(
  { policy: _policy, preferHost: _preferHost, ...asked }: MigrateRequest,
  operator: string,
): MoveRequest {
  return { ...moveDefaults, operator, ...asked };
}

/** `name`: the VM may have been asked for by its UUID. */
export const sameHost = (name: string, host: string) =>
  permanent({
    code: 'same-host',
    message: `${name} cannot move from ${host} to ${host}: both are the same host`,
    remedy: 'Name another host with --to; `vmferry hosts` lists them.',
    host,
  });
