import { z } from 'zod';
import { configSchema } from './schema.ts';

/** The part of JSON Schema that zod emits for our file and that error messages use. */
export interface JsonSchema {
  type?: string;
  description?: string;
  examples?: unknown[];
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
}

/**
 * The JSON Schema (2020-12) of the configuration file as a person writes it, for editors:
 * `# yaml-language-server: $schema=vmferry-config.schema.json`. `npm run build` writes it to that file.
 */
export const configJsonSchema = (): JsonSchema =>
  // The cast narrows zod's own type to the fields above; zod wrote them a line before.
  z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }) as JsonSchema;

/** The schema of what stands at a path of the file; undefined where the schema ends. */
export function schemaAt(schema: JsonSchema, path: readonly PropertyKey[]): JsonSchema | undefined {
  let at: JsonSchema | undefined = schema;
  for (const key of path) {
    at = typeof key === 'number' ? at?.items : at?.properties?.[String(key)];
  }
  return at;
}
