import { describe, expect, it } from 'vitest';
import { buildBundle, isOfTheseSources } from '../../../workers/build-bundle.ts';

describe('the workflow bundle', () => {
  it('is known for the sources that it was made of, and for no others', async () => {
    const code = await buildBundle();
    expect(await isOfTheseSources(code)).toBe(true);
    const other = code.replace(/sources [0-9a-f]{8}/, 'sources 00000000');
    expect(await isOfTheseSources(other)).toBe(false);
    expect(await isOfTheseSources('')).toBe(false);
  }, 60_000);
});
