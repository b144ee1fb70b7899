/** A lab whose conversion host has a folder of OVAs as its provider `shelf`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openImportStage } from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';

export interface ShelfStage {
  /** Puts OVAs into `shelf`, and whatever else is wanted into `dir`, around it; both go with the stage. */
  fill: (place: { dir: string; shelf: string }) => Promise<void>;
  /** As in a configuration. */
  conversion?: (dir: string) => object;
}

export async function openShelfStage(
  name: string,
  { fill, conversion = () => ({}) }: ShelfStage,
): Promise<ImportStage> {
  const closing = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), `${name}-`));
  closing.defer(() => rm(dir, { recursive: true, force: true }));
  try {
    const shelf = join(dir, 'ova');
    await fill({ dir, shelf });
    const providers = { shelf: { kind: 'ova', folder: shelf } };
    const stage = await openImportStage({ name, providers, conversion: conversion(dir) });
    closing.defer(() => stage.close());
    return { ...stage, close: () => closing.disposeAsync() };
  } catch (error) {
    await closing.disposeAsync();
    throw error;
  }
}
