/** Who owns the files that libvirt keeps of a VM on this host, as libvirt itself would give them out. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { needsOperator } from '../../domain/errors.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import type { FileOwner } from './state-files.ts';
import { attribute, childElements, elementAt, parseXml, textOf } from './xml.ts';

const root: FileOwner = { uid: 0, gid: 0 };

/**
 * The user that QEMU runs as, by libvirt's own word: it gives a start's new variables to them, and with
 * `dynamic_ownership = 0` never again. Root where libvirt names no user.
 */
export async function emulatorOwner(connection: Connection): Promise<FileOwner> {
  const { capabilities } = await connection.call('ConnectGetCapabilities', {});
  const element = parseXml(capabilities, {
    root: 'capabilities',
    maxBytes: 4 * 1024 ** 2,
  }).documentElement;
  const host = element === null ? undefined : elementAt(element, 'host');
  const models = host === undefined ? [] : childElements(host, 'secmodel');
  const dac = models.find((model) => textOf(elementAt(model, 'model')) === 'dac');
  const labels = dac === undefined ? [] : childElements(dac, 'baselabel');
  const label = labels.find((each) => attribute(each, 'type') === 'kvm') ?? labels[0];
  const match = /^\+(\d+):\+(\d+)$/.exec(textOf(label));
  return match === null ? root : { uid: Number(match[1]), gid: Number(match[2]) };
}

/**
 * The user that TPM emulators run as: `swtpm_user` and `swtpm_group` of libvirt's `qemu.conf`, else `tss`, else root
 * (its order). `fileRoot` is where the host's files are seen from here. Throws `swtpm-user-unknown`.
 */
export async function tpmOwner({
  fileRoot,
  host,
}: {
  fileRoot: string;
  host: string;
}): Promise<FileOwner> {
  const conf = await readText(join(fileRoot, 'etc/libvirt/qemu.conf'));
  const passwd = await readText(join(fileRoot, 'etc/passwd'));
  const group = await readText(join(fileRoot, 'etc/group'));
  const of = (setting: string, accounts: string): number => {
    const named = settingOf(conf, setting);
    const id = accountId(accounts, named ?? 'tss');
    if (id === undefined && named !== undefined) throw userUnknown(setting, { named, host });
    return id ?? 0;
  };
  return { uid: of('swtpm_user', passwd), gid: of('swtpm_group', group) };
}

/** A setting's text in libvirt's configuration; undefined if no line that counts has it. */
function settingOf(conf: string, name: string): string | undefined {
  const match = new RegExp(`^[ \\t]*${name}[ \\t]*=[ \\t]*(?:"([^"\\n]*)"|'([^'\\n]*)')`, 'm').exec(
    conf,
  );
  return match?.[1] ?? match?.[2];
}

/** The number of a user or group, by its line `name:x:number:...`; `+12` and `12` mean themselves. */
function accountId(accounts: string, name: string): number | undefined {
  const line = accounts.split('\n').find((each) => each.startsWith(`${name}:`));
  const text = line?.split(':')[2] ?? /^\+?(\d+)$/.exec(name)?.[1] ?? '';
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

const readText = async (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  });

const userUnknown = (setting: string, { named, host }: { named: string; host: string }) =>
  needsOperator({
    code: 'swtpm-user-unknown',
    message: `qemu.conf of ${host} has ${setting} = "${named}", which its account files do not know`,
    remedy: `Correct ${setting} in /etc/libvirt/qemu.conf on ${host}, then \`vmferry retry\`.`,
    host,
  });
