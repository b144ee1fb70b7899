import { z } from 'zod';
import { configSchema } from './schema.ts';

/** The part of JSON Schema that zod emits for our file and that error messages use. */
export interface JsonSchema {
  type?: string;
  description?: string;
  examples?: unknown[];
  const?: unknown;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  /** What each value of a map is, or false where no other keys may stand. */
  additionalProperties?: JsonSchema | boolean;
  /** The forms of a value; its `kind` says which. */
  oneOf?: JsonSchema[];
}

/**
 * The JSON Schema (2020-12) of the configuration file as a person writes it, for editors:
 * `# yaml-language-server: $schema=vmferry-config.schema.json`. `npm run build` writes it to that file.
 */
export const configJsonSchema = (): JsonSchema =>
  // The cast narrows zod's own type to the fields above; zod wrote them a line before.
  z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }) as JsonSchema;

/** The schema of what stands at a path of `file`, whose content says which of several forms is meant; undefined where the schema ends. */
export function schemaAt(
  schema: JsonSchema,
  path: readonly PropertyKey[],
  file?: unknown,
): JsonSchema | undefined {
  let at = formOf(schema, file);
  let value = file;
  for (const key of path) {
    value = partOf(value, key);
    at = at === undefined ? undefined : formOf(below(at, key), value);
  }
  return at;
}

function below(schema: JsonSchema, key: PropertyKey): JsonSchema | undefined {
  if (typeof key === 'number') return schema.items;
  const { properties = {}, additionalProperties } = schema;
  const name = String(key);
  if (Object.hasOwn(properties, name)) return properties[name];
  return typeof additionalProperties === 'object' ? additionalProperties : undefined;
}

const partOf = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (Reflect.get(value, key) as unknown)
    : undefined;

/** The form that the value's `kind` names; without one what all forms have together. */
function formOf(schema: JsonSchema | undefined, value: unknown): JsonSchema | undefined {
  const forms = schema?.oneOf;
  if (forms === undefined) return schema;
  const kind = partOf(value, 'kind');
  const named = forms.find(({ properties }) => properties?.['kind']?.const === kind);
  return named ?? { properties: { kind: forms[0]?.properties?.['kind'] ?? {} } };
}
