import type { MoveRef } from './contract.ts';
import type { CopyFollower } from './parts.ts';

/** What was hashed of the disks of moves under way while they were copied to. Lost with the process: it only saves time. */
export class Followers {
  readonly #byDisk = new Map<string, CopyFollower>();

  /** The latest attempt's alone counts: an earlier one may have hashed what was written anew. */
  set({ migrationId }: MoveRef, disk: string, follower: CopyFollower | undefined): void {
    if (follower === undefined) this.#byDisk.delete(keyOf(migrationId, disk));
    else this.#byDisk.set(keyOf(migrationId, disk), follower);
  }

  get({ migrationId }: MoveRef, disk: string): CopyFollower | undefined {
    return this.#byDisk.get(keyOf(migrationId, disk));
  }

  forget({ migrationId }: MoveRef): void {
    for (const key of this.#byDisk.keys()) {
      if (key.startsWith(keyOf(migrationId, ''))) this.#byDisk.delete(key);
    }
  }
}

const keyOf = (migrationId: string, disk: string): string => `${migrationId}:${disk}`;
