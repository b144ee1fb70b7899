/**
 * The old names: firewalls, scripts and half of all network configurations name interfaces, and the target's
 * machine would give others (ens192 becomes enp1s0). A rule of udev gives each MAC the name that it had.
 */
import { changeOf, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles } from './guest-files.ts';
import type { KeptInterface } from './interfaces.ts';

const rulesPath = '/etc/udev/rules.d/70-persistent-net.rules';

/** Systems that have systemd's udev are told by a .link file each; older ones by lines of the rules that they know. */
export const renameChanges = (
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
  systemd: boolean,
): FileChange[] => (systemd ? linkFiles(files, interfaces) : udevRules(files, interfaces));

// Named to come before systemd's own 99-default.link and before netplan's and cloud-init's.
const linkFiles = (files: GuestFiles, interfaces: readonly KeptInterface[]): FileChange[] =>
  interfaces.flatMap(({ mac, name }) =>
    changeOf(
      files,
      `/etc/systemd/network/05-vmferry-${name}.link`,
      // A VLAN or a bridge has its parent's MAC: only hardware has a path on a bus. (Old systemd knows no Type=ether.)
      `${ownHeader}[Match]\nMACAddress=${mac}\nPath=*\n\n[Link]\nNamePolicy=\nName=${name}\n`,
    ),
  );

function udevRules(files: GuestFiles, interfaces: readonly KeptInterface[]): FileChange[] {
  const before = files.get(rulesPath) ?? '';
  const missing = interfaces.filter(({ mac, name }) => !namesIt(before, mac, name));
  if (missing.length === 0) return [];
  const rules = missing.map(
    ({ mac, name }) =>
      `SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="${mac}", ATTR{type}=="1", NAME="${name}"\n`,
  );
  // A later line that names the same MAC otherwise would win.
  const others = before
    .split('\n')
    .filter((line) => !missing.some(({ mac }) => isRuleFor(line, mac)))
    .join('\n');
  const gap = others === '' || others.endsWith('\n') ? '' : '\n';
  return changeOf(files, rulesPath, `${others}${gap}${rules.join('')}`);
}

const isRuleFor = (line: string, mac: string): boolean =>
  !line.trimStart().startsWith('#') && line.toLowerCase().includes(`"${mac}"`);

/** A rule that also asks for the old driver or its place on the bus would not match any more. */
const namesIt = (rules: string, mac: string, name: string): boolean =>
  rules
    .split('\n')
    .some(
      (line) =>
        isRuleFor(line, mac) &&
        line.includes(`NAME="${name}"`) &&
        !/KERNELS|ID_PATH|DRIVERS=="(?!\?\*")/.test(line),
    );
