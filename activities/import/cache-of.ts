import { ImportCache } from './cache.ts';
import type { ImportRef } from './contract.ts';
import type { ImportParts } from './parts.ts';

/** The cache of an import's VM on this host. */
export const cacheOf = ({ host, conversion }: ImportParts, ref: ImportRef): ImportCache =>
  new ImportCache(
    { cacheDir: conversion.cacheDir, stateDir: host.stateDir, host: host.name },
    { provider: ref.provider, vm: ref.foreign.id },
  );
