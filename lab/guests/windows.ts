/**
 * What virt-v2v takes for a Windows 10, made here of nothing of Microsoft's: its folders on an NTFS, two hives, and the
 * header of a program. It starts nowhere; it is there to be converted.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { hiveOf } from './hive.ts';
import type { HiveKey } from './hive.ts';

export interface WindowsLike {
  raw: string;
  sizeBytes: number;
  /** In place of virtio-win: files with the names of drivers, each with `driverText` in it. */
  virtioWin: string;
}

export const driverText = (name: string): string => `vmferry: in place of ${name}\n`;

const script = join(import.meta.dirname, 'windows-disk.sh');
const sizeBytes = 128 * 1024 ** 2;
const drivers = ['viostor', 'vioscsi', 'netkvm'];

/** In a folder of the caller's; some seconds. Needs root, mkntfs and ntfs-3g. */
export async function makeWindowsLike(folder: string): Promise<WindowsLike> {
  const tree = join(folder, 'tree');
  const system = join(tree, 'Windows', 'System32');
  for (const path of ['Windows/inf', 'Windows/Temp', 'Program Files', 'Users'])
    await mkdir(join(tree, path), { recursive: true });
  for (const path of ['config', 'drivers']) await mkdir(join(system, path), { recursive: true });
  await writeFile(join(system, 'config', 'SOFTWARE'), hiveOf(software));
  await writeFile(join(system, 'config', 'SYSTEM'), hiveOf(systemHive));
  await writeFile(join(system, 'cmd.exe'), programHeader());
  const raw = join(folder, 'windows.raw');
  await execa(script, [tree, raw, String(sizeBytes)], { timeout: 120_000 });
  await rm(tree, { recursive: true });
  const virtioWin = join(folder, 'virtio-win');
  for (const driver of drivers) {
    const of = join(virtioWin, driver, 'w10', 'amd64');
    await mkdir(of, { recursive: true });
    for (const ending of ['inf', 'sys', 'cat']) {
      const name = `${driver}.${ending}`;
      await writeFile(join(of, name), driverText(name));
    }
  }
  return { raw, sizeBytes, virtioWin };
}

/** Which Windows it is, and where it looks for drivers. */
const software: HiveKey = {
  keys: {
    Microsoft: {
      keys: {
        'Windows NT': {
          keys: {
            CurrentVersion: {
              values: {
                ...{ ProductName: 'Windows 10 Pro', EditionID: 'Professional' },
                ...{ CurrentVersion: '6.3', CurrentBuildNumber: '19045' },
                ...{ CurrentMajorVersionNumber: 10, CurrentMinorVersionNumber: 0 },
                InstallationType: 'Client',
              },
            },
          },
        },
        Windows: {
          keys: {
            CurrentVersion: {
              keys: { Uninstall: {}, RunOnce: {} },
              values: { DevicePath: '%SystemRoot%\\inf' },
            },
          },
        },
      },
    },
  },
};

const systemHive: HiveKey = {
  keys: {
    Select: { values: { Current: 1, Default: 1, LastKnownGood: 1 } },
    MountedDevices: {},
    ControlSet001: {
      keys: {
        Control: {
          keys: {
            ComputerName: { keys: { ComputerName: { values: { ComputerName: 'GUEST' } } } },
            CriticalDeviceDatabase: {},
          },
        },
        Enum: {},
        Services: { keys: { Tcpip: { keys: { Parameters: { values: { Hostname: 'guest' } } } } } },
      },
    },
  },
};

/** Of a program for a console of x86-64, and no more: it tells the guest's architecture. */
function programHeader(): Buffer {
  const file = Buffer.alloc(1024);
  const [header, optional] = [0x80, 0x98];
  file.write('MZ', 0, 'latin1');
  file.writeUInt32LE(header, 0x3c);
  file.write('PE\0\0', header, 'latin1');
  file.writeUInt16LE(0x86_64, header + 4);
  file.writeUInt16LE(240, header + 20);
  file.writeUInt16LE(0x22, header + 22);
  file.writeUInt16LE(0x2_0b, optional);
  file.writeUInt16LE(3, optional + 68);
  return file;
}
