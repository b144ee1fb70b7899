// @ts-check
/** Writes the JSON Schemas of what `-o json` prints, to docs/schemas/. A test holds them equal to the code. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { outputs } from '../cli/output/catalogue.ts';
import { outputJsonSchema } from '../cli/output/json-schema.ts';

const folder = fileURLToPath(new URL('../docs/schemas/', import.meta.url));
mkdirSync(folder, { recursive: true });
for (const name of Object.keys(outputs)) {
  const file = `${folder}${name}.json`;
  const text = JSON.stringify(outputJsonSchema(/** @type {keyof typeof outputs} */ (name)));
  writeFileSync(file, await format(text, { ...(await resolveConfig(file)), parser: 'json' }));
}
console.log(`wrote ${Object.keys(outputs).length} schemas to ${folder}`);
