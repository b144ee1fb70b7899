import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { needsOperator } from '../domain/errors.ts';

const processId = z.object({ pid: z.number().int().min(2), startTime: z.string().min(1) });

const hostState = z.object({
  name: z.string(),
  address: z.string(),
  uuid: z.string(),
  /** Name of its network namespace. */
  netns: z.string(),
  /** Inode of that namespace; 0 while it is being made. */
  netnsInode: z.number().int(),
  /** The process that holds the namespaces; absent while the host is off. */
  holder: processId.optional(),
  /** Folder of its cgroup; empty where the machine lets us have none. */
  cgroup: z.string(),
});

const forwardState = z.object({
  /** Distinguishes forwards of a lab; also the name of their socket. */
  key: z.string(),
  processes: z.array(processId),
});

const ownerState = z.object({
  /** The process that made the lab. */
  owner: processId,
  /** Waits for the owner's end, and ends the lab then. */
  watcher: processId,
});

const labState = z.object({
  version: z.literal(1),
  name: z.string(),
  bootId: z.string(),
  guestDir: z.string(),
  poolBytes: z.number().int(),
  /** 0: the state folders of the hosts have no file system of their own. */
  stateBytes: z.number().int().default(0),
  /** Whether all hosts see one pool. */
  shared: z.boolean().default(false),
  switchNetns: z.string(),
  switchInode: z.number().int(),
  hosts: z.array(hostState),
  forwards: z.array(forwardState),
  /** Absent: the lab stays up whoever ends. */
  owner: ownerState.optional(),
});

export type HostState = z.infer<typeof hostState>;
export type ForwardState = z.infer<typeof forwardState>;
export type OwnerState = z.infer<typeof ownerState>;
/** All that a lab has to remember: written before each thing is made, so that `down` works after a crash. */
export type LabState = z.infer<typeof labState>;

const fileOf = (dir: string): string => join(dir, 'lab.json');

/** The state of the lab in `dir`; undefined if there is none. Throws `lab-state-unreadable`. */
export async function readState(dir: string): Promise<LabState | undefined> {
  try {
    return labState.parse(JSON.parse(await readFile(fileOf(dir), 'utf8')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw needsOperator({
      code: 'lab-state-unreadable',
      message: `the lab's state file ${fileOf(dir)} cannot be understood`,
      remedy:
        'Find the namespaces of the lab with `ip netns list`, end their processes, remove them with `ip netns del`, then remove the file.',
      cause,
    });
  }
}

export async function writeState(dir: string, state: LabState): Promise<void> {
  const draft = `${fileOf(dir)}.new`;
  await writeFile(draft, `${JSON.stringify(state, null, 2)}\n`);
  await rename(draft, fileOf(dir));
}

export const removeState = (dir: string): Promise<void> => rm(fileOf(dir), { force: true });
