/** SUSE's wicked: by name only, kept by `rename.ts`; LLADDR would *set* a MAC. Only what nobody configured is added. */
import { changeOf, filesIn, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles } from './guest-files.ts';
import { gatewayOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';

const folder = '/etc/sysconfig/network';

export const usesWicked = (files: GuestFiles): boolean =>
  filesIn(files, folder).some(
    (path) => path.startsWith(`${folder}/ifcfg-`) || path === `${folder}/config`,
  );

export function wickedChanges(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): FileChange[] {
  return interfaces
    .filter(({ name, addresses }) => addresses.length > 0 && !files.has(`${folder}/ifcfg-${name}`))
    .flatMap((one) => {
      const routes = ([4, 6] as const).flatMap((family) => {
        const gateway = gatewayOf(one, family);
        return gateway === undefined ? [] : [`default ${gateway} - ${one.name}\n`];
      });
      return [
        ...changeOf(files, `${folder}/ifcfg-${one.name}`, ownFile(one)),
        ...(routes.length === 0
          ? []
          : changeOf(files, `${folder}/ifroute-${one.name}`, ownHeader + routes.join(''))),
      ];
    });
}

function ownFile({ addresses }: KeptInterface): string {
  const lines = addresses.map(({ address, prefix }, index) => {
    const suffix = index === 0 ? '' : `_${index}`;
    return `IPADDR${suffix}='${address}/${prefix}'`;
  });
  return `${ownHeader}BOOTPROTO='static'\nSTARTMODE='auto'\n${lines.join('\n')}\n`;
}
