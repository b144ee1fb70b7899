import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { permanent } from '../domain/errors.ts';

/** The key of an encrypted device inside the guest. */
export interface GuestDiskKey {
  /** UUID of the LUKS device, or the name that libguestfs gives it: `/dev/sda2`; `all` for any (newer tools only). */
  device: string;
  /** Gives the passphrase when it is needed; only the worker that needs it resolves the reference. */
  passphrase: () => Promise<Uint8Array>;
}

const maxKeyBytes = 8192;
const maxKeys = 32;

/**
 * Puts the keys into files of the private folder, which only their owner reads, and gives the arguments that name
 * them. A key itself is never an argument: those are for everybody to see.
 * Throws `guest-key-invalid`, `guest-key-selector-unsupported`.
 */
export async function keyArguments(
  keys: readonly GuestDiskKey[],
  options: { folder: string; anyDevice: boolean },
): Promise<string[]> {
  if (keys.length > maxKeys)
    throw invalid(`${keys.length} keys were given, ${maxKeys} are the most`);
  const args: string[] = [];
  for (const [index, { device, passphrase }] of keys.entries()) {
    checkDevice(device, options.anyDevice);
    const key = await passphrase();
    if (key.length === 0 || key.length > maxKeyBytes) {
      throw invalid(`the key of ${device} has ${key.length} bytes`);
    }
    const path = join(options.folder, `key-${index}`);
    // The tool takes the first line without its end; a key with line ends inside cannot be given by file.
    await writeFile(path, key, { mode: 0o600, flag: 'wx' });
    args.push('--key', `${device}:file:${path}`);
  }
  return args;
}

function checkDevice(device: string, anyDevice: boolean): void {
  if (device === 'all') {
    if (anyDevice) return;
    throw permanent({
      code: 'guest-key-selector-unsupported',
      message: 'the installed virt-v2v cannot try one key on every device',
      remedy: 'Name the device in the plan: its LUKS UUID, or /dev/sda2.',
    });
  }
  // A colon would end the selector.
  if (/^(?:\/dev\/[A-Za-z0-9/_.-]{1,200}|[0-9A-Fa-f-]{36})$/.test(device)) return;
  throw invalid(`${JSON.stringify(device.slice(0, 200))} names no device of a guest`);
}

const invalid = (message: string) =>
  permanent({
    code: 'guest-key-invalid',
    message,
    remedy: 'Give the key as a reference, with the LUKS UUID or /dev name of its device.',
  });
