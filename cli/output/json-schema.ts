import { z } from 'zod';
import { outputs } from './catalogue.ts';
import type { OutputName } from './names.ts';

/** The JSON Schema (2020-12) of one output; a reader must let fields pass that it does not know. */
export const outputJsonSchema = (name: OutputName): object => ({
  $id: `urn:vmferry:output:${name}`,
  ...z.toJSONSchema(outputs[name], {
    target: 'draft-2020-12',
    override: ({ jsonSchema }) => {
      // Strict here, so that a test sees a field without a schema; open for those who read.
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
    },
  }),
});
