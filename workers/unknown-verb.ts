import { Context } from '@temporalio/activity';
import { atBoundary } from '../activities/boundary.ts';
import { needsOperator } from '../domain/errors.ts';

/**
 * What a host worker answers when a newer control worker asks for a verb that this version does not have: the move
 * waits for a person instead of ending, since nothing was done. Registered as Temporal's `default` activity.
 */
export const refuseUnknownVerb =
  ({ host, version }: { host: string; version: string }) =>
  (): Promise<never> => {
    const verb = Context.current().info.activityType;
    return atBoundary({ host, verb }, () => Promise.reject(unknownVerb({ host, version, verb })));
  };

const unknownVerb = ({ host, version, verb }: { host: string; version: string; verb: string }) =>
  needsOperator({
    code: 'host-version-too-old',
    message: `${host} runs vmferry ${version}, which does not know \`${verb.slice(0, 80)}\`; nothing was done`,
    remedy: `Upgrade vmferry on ${host} and restart its worker (docs/operating/upgrade.md: hosts come first), then \`vmferry retry\`.`,
    host,
  });
