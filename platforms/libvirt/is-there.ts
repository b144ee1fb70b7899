import { stat } from 'node:fs/promises';

/**
 * Whether something stands at a path, links followed. Asked by `stat`, since access(2) goes by the real user's rights
 * and knows of no capabilities. What cannot be looked at counts as there: nothing is made or given up on a guess.
 */
export const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => {
      const { code } = error as NodeJS.ErrnoException;
      return code !== 'ENOENT' && code !== 'ENOTDIR';
    },
  );
