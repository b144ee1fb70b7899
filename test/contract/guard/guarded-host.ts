import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ledger } from '../../../guard/ledger.ts';
import { probeHook } from '../../../guard/probe.ts';
import type { ProbeResult } from '../../../guard/probe.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import type { PrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';

/** What virsh said; it never rejects, for a refusal is what most tests are about. */
export interface Said {
  ok: boolean;
  words: string;
}

/** A real libvirtd of the test's own, with a ledger beside it. The hook is not installed yet. */
export class GuardedHost {
  readonly dir: string;
  readonly hooksDir: string;
  readonly stateDir: string;
  readonly ledger: Ledger;
  readonly daemon: PrivateLibvirtd;

  private constructor(dir: string, daemon: PrivateLibvirtd) {
    this.dir = dir;
    this.daemon = daemon;
    this.hooksDir = join(dir, 'etc/libvirt/hooks');
    this.stateDir = join(dir, 'vmferry');
    this.ledger = new Ledger({ stateDir: this.stateDir, host: 'alpha' });
  }

  static async start(): Promise<GuardedHost> {
    const dir = mkdtempSync(join(tmpdir(), 'vmferry-guarded-'));
    await mkdir(join(dir, 'disks'));
    return new GuardedHost(dir, await startPrivateLibvirtd({ dir }));
  }

  async stop(): Promise<void> {
    await this.daemon.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  async virsh(...args: string[]): Promise<Said> {
    try {
      const { stdout, stderr } = await this.daemon.exec(
        'virsh',
        '-q',
        '-c',
        'qemu:///system',
        ...args,
      );
      return { ok: true, words: stdout + stderr };
    } catch (error) {
      return { ok: false, words: (error as { stderr?: string }).stderr ?? String(error) };
    }
  }

  /** `virsh`, where anything but success is a fault of the test itself. */
  async must(...args: string[]): Promise<string> {
    const said = await this.virsh(...args);
    if (!said.ok) throw new Error(`virsh ${args.join(' ')}: ${said.words}`);
    return said.words.trim();
  }

  state = (domain: string): Promise<string> => this.must('domstate', domain);

  log = (): Promise<string> => readFile(join(this.dir, 'var/log/libvirt/libvirtd.log'), 'utf8');

  async file(name: string, content: string): Promise<string> {
    const path = join(this.dir, name);
    await writeFile(path, content);
    return path;
  }

  async disk(name: string): Promise<string> {
    const path = join(this.dir, 'disks', name);
    const format = name.endsWith('.qcow2') ? 'qcow2' : 'raw';
    await this.daemon.exec('qemu-img', 'create', '-q', '-f', format, path, '4M');
    return path;
  }

  async define(name: string, uuid: string, disk: string): Promise<void> {
    await this.must('define', await this.file(`${name}.xml`, guestXml(name, uuid, fileDisk(disk))));
  }

  probe(): Promise<ProbeResult> {
    return probeHook({
      ledger: this.ledger,
      domain: { type: 'qemu' },
      createDomain: async (xml) => {
        const said = await this.virsh('create', '--paused', await this.file('probe.xml', xml));
        if (!said.ok) throw new Error(said.words);
      },
      destroyDomain: (uuid) => this.must('destroy', uuid),
    });
  }

  /** PID of libvirtd as the machine numbers it; the PID file inside has its number inside. */
  async daemonPid(): Promise<number> {
    const { pid } = this.daemon;
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'ascii');
    for (const child of children.trim().split(' ')) {
      const name = await readFile(`/proc/${child}/comm`, 'ascii');
      if (name.trim() === 'libvirtd') return Number(child);
    }
    throw new Error('there is no libvirtd');
  }
}

export const fileDisk = (path: string): string =>
  `<disk type='file' device='disk'><driver name='qemu' type='${path.endsWith('.qcow2') ? 'qcow2' : 'raw'}'/>` +
  `<source file='${path}'/><target dev='vda' bus='virtio'/></disk>`;

/** A guest without an operating system: enough to start, save and revert. */
export const guestXml = (name: string, uuid: string, disk: string): string => `<domain type='qemu'>
  <name>${name}</name><uuid>${uuid}</uuid>
  <memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>${disk}<controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>
`;
