import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { quoted, withGuestfish } from '../../../convert/guestfish.ts';
import type { Ask } from '../../../convert/guestfish.ts';
import { labelledProcesses } from '../../../convert/labelled-process.ts';
import { prepareGuest } from '../../../convert/prepare-guest.ts';
import { checkInterfaces } from '../../../convert/addresses/interfaces.ts';

const luks = '85ba044e-7ba1-42b6-b3f5-616d059f9483';
let folder: string;
let number = 0;
let id: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guestfish-'));
  id = `guestfish-${process.pid}-${(number += 1)}`;
});
afterEach(async () => {
  expect(await labelledProcesses(id)).toEqual([]);
  await rm(folder, { recursive: true });
});

/** In the place of guestfish: it takes commands by lines, and the files of a folder for those of the guest. */
const standIn = async (more = ''): Promise<string> => {
  const program = join(folder, 'guestfish');
  const script = `#!/bin/bash
guest='${folder}/guest'
plain() { eval "set -- $1"; printf '%s\\0' "$@"; }
while IFS= read -r line; do
  ${more}
  line=\${line#-}
  mapfile -d '' -t word < <(plain "$line")
  case \${word[0]} in
    echo) echo "\${word[1]}" ;;
    glob-expand) for path in "$guest"\${word[1]}; do [ -e "$path" ] && echo "\${path#"$guest"}"; done ;;
    is-file) [ -f "$guest\${word[1]}" ] && echo true || echo false ;;
    filesize) stat -c %s "$guest\${word[1]}" ;;
    download) cp "$guest\${word[1]}" "\${word[2]}" ;;
    mkdir-p) mkdir -p "$guest\${word[1]}" ;;
    mountpoints) cat "$guest/mountpoints" ;;
    vgpvuuids) [ "\${word[1]}" = debian-vg ] && echo Cwi-1 ;;
    pvs) printf '%s\\n' /dev/sdb1 "/dev/mapper/luks-${luks}" ;;
    pvuuid) case \${word[1]} in */luks-*) echo Cwi-1 ;; *) echo Xxx-2 ;; esac ;;
    upload) cat "\${word[1]}" >"$guest\${word[2]}" ;;
    cp) cp "$guest\${word[1]}" "$guest\${word[2]}" ;;
    chmod) chmod "\${word[1]}" "$guest\${word[2]}" ;;
    *) echo "libguestfs: error: unknown command \${word[0]}" >&2; exit 1 ;;
  esac
done
`;
  await writeFile(program, script, { mode: 0o755 });
  return program;
};
const options = async (more = '') => ({
  ...{ id, overlays: ['/w/disk-0.qcow2'], cwd: folder, limitMs: 30_000 },
  env: { PATH: process.env['PATH'] ?? '' },
  program: await standIn(more),
});
const guestFile = async (path: string, content: string): Promise<void> => {
  await mkdir(join(folder, 'guest', path, '..'), { recursive: true });
  await writeFile(join(folder, 'guest', path), content);
};

describe('a conversation with guestfish', () => {
  it('gives each question its answer', async () => {
    await guestFile('/etc/a', 'x');
    const answers: string[][] = [];
    const end = await withGuestfish(await options(), async (ask: Ask) => {
      answers.push(await ask(['glob-expand "/etc/*"', 'is-file "/etc/a"']));
      answers.push(await ask([]));
      answers.push(await ask(['is-file "/etc/b"']));
    });
    expect(end.status).toBe(0);
    expect(answers).toEqual([['/etc/a', 'true'], [], ['false']]);
  });

  it('that breaks off ends, and says what it was told', async () => {
    const end = await withGuestfish(await options(), async (ask) => {
      await ask(['nonsense']);
      await ask(['is-file "/etc/a"']);
    });
    expect(end).toMatchObject({ status: 1, timedOut: false });
    expect(end.complaint).toContain('unknown command nonsense');
  });

  it('that gets no answer ends by its limit', async () => {
    const silent = { ...(await options('sleep 300')), limitMs: 500 };
    const end = await withGuestfish(silent, async (ask) => {
      await ask([]);
    });
    expect(end.timedOut).toBe(true);
  });

  it('rejects with what was done wrongly in between', async () => {
    const failing = withGuestfish(await options(), () => Promise.reject(new Error('ours')));
    await expect(failing).rejects.toThrow('ours');
  });

  it.each(['a"b', 'a\\b', 'a\nquit', 'a\0'])('takes no path like %j', (path) => {
    expect(() => quoted(path)).toThrow(expect.objectContaining({ code: 'guest-path-unusable' }));
  });
});

describe('addresses', () => {
  const silent = { gateways: [], dns: [], searchDomains: [] };
  const { interfaces } = checkInterfaces([
    {
      ...{ mac: '00:50:56:aa:bb:01', name: 'ens192', gateways: [], dns: [], searchDomains: [] },
      addresses: [{ address: '198.51.100.20', prefix: 24, origin: 'static' }],
    },
  ]);
  const keep = async (firmware: 'bios' | 'uefi' = 'bios') => {
    let log = '';
    const onLog = (text: string) => (log += text);
    const more = {
      vm: 'web',
      logPath: join(folder, 'log'),
      interfaces,
      firmware,
      encrypted: false,
      onLog,
    };
    return { plan: await prepareGuest({ ...(await options()), ...more }), log };
  };

  it('are brought into the guest: files read, changed where they must be, and nothing else touched', async () => {
    const path = '/etc/NetworkManager/system-connections/Wired 1.nmconnection';
    const profile = '[connection]\ntype=ethernet\ninterface-name=ens192\n';
    await guestFile(path, profile);
    await guestFile('/etc/udev/rules.d/10-other.rules', 'KERNEL=="x"\n');
    await guestFile('/etc/netplan/binary.yaml', 'x'.repeat(100_000));
    await guestFile('/usr/lib/systemd/systemd-udevd', '');
    const { plan } = await keep();
    expect(plan.changes.map((change) => change.path)).toEqual([
      '/etc/systemd/network/05-vmferry-ens192.link',
      path,
    ]);
    const now = await readFile(join(folder, 'guest', path), 'utf8');
    expect(now).toContain('mac-address=00:50:56:AA:BB:01');
    expect(now).not.toContain('interface-name');
    expect((await keep()).plan.changes).toEqual([]);
  });

  it('come with the fallback boot path of UEFI, where the guest has none', async () => {
    await guestFile('/boot/efi/EFI/debian/shimx64.efi', 'shim');
    await guestFile('/boot/efi/EFI/debian/grubx64.efi', 'grub');
    expect((await keep('uefi')).plan.bootFiles).toHaveLength(2);
    const boot = join(folder, 'guest/boot/efi/EFI/BOOT');
    expect(await readFile(join(boot, 'BOOTX64.EFI'), 'utf8')).toBe('shim');
    expect(await readFile(join(boot, 'grubx64.efi'), 'utf8')).toBe('grub');
    expect((await keep('uefi')).plan.bootFiles).toEqual([]);
  });

  it('that were asked for and cannot be set are named, and nothing is written', async () => {
    const path = '/etc/network/interfaces';
    const text = 'iface br0 inet dhcp\n  bridge_ports ens192\n';
    await guestFile(path, text);
    await guestFile('/usr/lib/systemd/systemd-udevd', '');
    const set = { addresses: ['203.0.113.7/25'] };
    const cards = checkInterfaces([
      { mac: '00:50:56:aa:bb:01', name: 'ens192', ...silent, addresses: [], set },
    ]);
    const keeping = prepareGuest({
      ...(await options()),
      ...{ vm: 'web', logPath: '/log', interfaces: cards.interfaces },
      ...{ firmware: 'bios', encrypted: false, onLog: () => undefined },
    });
    await expect(keeping).rejects.toMatchObject({
      code: 'addresses-not-settable',
      message: expect.stringContaining(
        '203.0.113.7/25 (00:50:56:aa:bb:01): ens192 is a part',
      ) as unknown,
    });
    expect(await readdir(join(folder, 'guest/etc'))).toEqual(['network']);
    expect(await readFile(join(folder, 'guest', path), 'utf8')).toBe(text);
  });

  it('that cannot be brought in say why', async () => {
    const program = join(folder, 'broken');
    const said = 'libguestfs: error: inspect_os: something is wrong';
    await writeFile(program, `#!/bin/sh\necho '${said}' >&2\nexit 1\n`, { mode: 0o755 });
    const more = {
      vm: 'web',
      logPath: '/log',
      interfaces,
      firmware: 'bios',
      encrypted: false,
    } as const;
    const onLog = () => undefined;
    const keeping = prepareGuest({ ...(await options()), ...more, onLog, program });
    await expect(keeping).rejects.toMatchObject({ code: 'conversion-failed' });
  });
});

describe('a root file system in a LUKS', () => {
  const crypttab = `swap /dev/sdc1 /dev/urandom swap\nsda5_crypt UUID=${luks} none luks,discard\n`;
  const look = async (root: string, encrypted = true) => {
    await guestFile('/mountpoints', `/dev/sda1: /boot\n${root}: /\n`);
    await guestFile('/etc/crypttab', crypttab);
    const more = {
      vm: 'web',
      logPath: '/log',
      interfaces: [],
      firmware: 'bios',
      encrypted,
    } as const;
    const onLog = () => undefined;
    const { crypttab: plan } = await prepareGuest({ ...(await options()), ...more, onLog });
    return { plan, now: await readFile(join(folder, 'guest/etc/crypttab'), 'utf8') };
  };

  it.each([
    ['itself', `/dev/mapper/luks-${luks}`],
    ['by a subvolume of btrfs', `btrfsvol:/dev/mapper/luks-${luks}/@rootfs`],
    ['by a volume group', '/dev/debian-vg/root'],
  ])(
    '%s is opened by the initramfs of a Debian, under the name that it has there',
    async (_is, root) => {
      await guestFile('/usr/sbin/update-initramfs', '');
      const { plan, now } = await look(root);
      expect(plan).toMatchObject({ opened: ['sda5_crypt'], unknown: [] });
      expect(now).toBe(crypttab.replace('luks,discard', 'luks,discard,initramfs'));
    },
  );

  it('changes nothing of a guest with another initramfs, without keys, or that lies elsewhere', async () => {
    expect(await look(`/dev/mapper/luks-${luks}`)).toEqual({ now: crypttab });
    await guestFile('/usr/sbin/update-initramfs', '');
    expect(await look(`/dev/mapper/luks-${luks}`, false)).toEqual({ now: crypttab });
    expect(await look('/dev/sda2')).toEqual({ now: crypttab });
    expect(await look('/dev/other-vg/root')).toEqual({ now: crypttab });
  });
});
