// @ts-check
/** Writes the JSON Schema of the configuration file, for editors. A test holds it equal to the code. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { configJsonSchema } from '../config/json-schema.ts';

const file = fileURLToPath(new URL('../config/vmferry-config.schema.json', import.meta.url));
const options = await resolveConfig(file);
writeFileSync(
  file,
  await format(JSON.stringify(configJsonSchema()), { ...options, parser: 'json' }),
);
console.log(`wrote ${file}`);
