/**
 * What libvirt keeps of a VM in files of its own: UEFI variables and the state of an emulated TPM. Where it does so
 * is fixed for the system daemon (libvirt's `qemu_conf.c`); a definition may put the variables elsewhere.
 */
import { dirname, normalize } from 'node:path';
import type { Element } from '@xmldom/xmldom';
import type { KeptState, VmHostFile } from '../../domain/vm.ts';
import { attribute, childElements, elementAt, textOf } from './xml.ts';

/** libvirt's folder for UEFI variables. */
export const nvramFolder = '/var/lib/libvirt/qemu/nvram';
/** libvirt's folder for the state of emulated TPMs, one folder a VM below it. */
export const tpmFolder = '/var/lib/libvirt/swtpm';

/** What a definition says of kept state; whether it is there only the host knows. */
export interface DefinedState {
  keptState: KeptState[];
  /** Variables that lie outside libvirt's own folder: the user's file, which no move touches. */
  hostFiles: VmHostFile[];
  /** State that cannot be had as a file. */
  fixedDevices: string[];
  /** The template that a start makes missing variables of; empty if the definition names none. */
  nvramTemplate: string;
}

/** Reads the firmware's variables and the TPMs of a `<domain>`. */
export function readDefinedState(
  domain: Element,
  { name, uuid }: { name: string; uuid: string },
): DefinedState {
  const nvram = readNvram(domain, name);
  const devices = elementAt(domain, 'devices');
  const tpms = devices === undefined ? [] : childElements(devices, 'tpm');
  const kept: KeptState[] = tpms
    .filter((tpm) => fixedTpm(tpm) === undefined)
    .map((tpm) => ({ role: 'tpm', path: `${tpmFolder}/${uuid}/${tpmVersionFolder(tpm)}` }));
  return {
    keptState: [...nvram.keptState, ...kept],
    hostFiles: nvram.hostFiles,
    fixedDevices: [...nvram.fixedDevices, ...tpms.flatMap((tpm) => fixedTpm(tpm) ?? [])],
    nvramTemplate: attribute(elementAt(domain, 'os', 'nvram'), 'template'),
  };
}

/** Names of libvirt 9.0's folders, by the version that the definition states; 2.0 is its default. */
const tpmVersionFolder = (tpm: Element): string =>
  attribute(elementAt(tpm, 'backend'), 'version') === '1.2' ? 'tpm1.2' : 'tpm2';

/** A TPM that is no emulator of libvirt's own, or whose state the definition puts elsewhere. */
function fixedTpm(tpm: Element): string | undefined {
  const backend = elementAt(tpm, 'backend');
  const type = attribute(backend, 'type');
  if (type !== 'emulator') return `tpm ${type}`.trim();
  const place = backend && elementAt(backend, 'source');
  return place === undefined
    ? undefined
    : `tpm emulator with its state in ${attribute(place, 'path')}`;
}

type DefinedNvram = Pick<DefinedState, 'keptState' | 'hostFiles' | 'fixedDevices'>;

function readNvram(domain: Element, name: string): DefinedNvram {
  const none: DefinedNvram = { keptState: [], hostFiles: [], fixedDevices: [] };
  const os = elementAt(domain, 'os');
  if (os === undefined) return none;
  const nvram = elementAt(os, 'nvram');
  const type = attribute(nvram, 'type');
  if (type !== '' && type !== 'file' && type !== 'block') {
    return { ...none, fixedDevices: [`UEFI variables on ${type} storage`] };
  }
  const source = nvram && elementAt(nvram, 'source');
  const stated = attribute(source, 'file') || attribute(source, 'dev') || textOf(nvram);
  const path = stated === '' && usesUefi(os) ? defaultNvramPath(name) : stated;
  if (path === '') return none;
  return isOwnNvram(path) && type !== 'block'
    ? { ...none, keptState: [{ role: 'nvram', path }] }
    : { ...none, hostFiles: [{ role: 'nvram', path }] };
}

/**
 * Whether a start gives the guest variables although the definition names no file: by firmware that libvirt chooses
 * (which libvirt 9.0 never writes into the stored definition), or by a loader in flash that needs them.
 */
function usesUefi(os: Element): boolean {
  if (attribute(os, 'firmware') === 'efi') return true;
  const loader = elementAt(os, 'loader');
  return attribute(loader, 'type') === 'pflash' && attribute(loader, 'stateless') !== 'yes';
}

/** Whether it is a file right in libvirt's folder, however it is written. */
const isOwnNvram = (path: string): boolean =>
  dirname(path) === nvramFolder && normalize(path) === path;

/** The name that libvirt gives by itself. A VM's name holds no slash: libvirt refuses it, and so does `isOwnNvram`. */
const defaultNvramPath = (name: string): string => `${nvramFolder}/${name}_VARS.fd`;
