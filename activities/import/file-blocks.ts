import { stat } from 'node:fs/promises';

/** What a file takes up of its file system, bytes; 0 if it is not there. */
export const blocksOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ blocks }) => blocks * 512,
    () => 0,
  );
