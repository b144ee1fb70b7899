// @ts-check
/** Writes docs/man/vmferry.1 from the commands. A test holds it equal to them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { currentManualPage } from '../cli/manual/current.ts';

const folder = fileURLToPath(new URL('../docs/man/', import.meta.url));
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}vmferry.1`, currentManualPage());
console.log(`wrote ${folder}vmferry.1`);
