/** Histories that `test/quick/replay` keeps, as stories. */
import { readFile } from 'node:fs/promises';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { HistoryReader } from '../../../../client/story/events.ts';
import type { StoryEvent } from '../../../../client/story/events.ts';
import type { ImportStory, Story } from '../../../../client/story/story.ts';
import { tellImport } from '../../../../client/story/tell-import.ts';
import { tellStory } from '../../../../client/story/tell.ts';

const { History } = proto.temporal.api.history.v1;
type Events = proto.temporal.api.history.v1.IHistoryEvent[];

/** The events of a saved history, e.g. `committed`. */
export async function savedEvents(name: string): Promise<Events> {
  const file = new URL(`../../replay/histories/${name}.history`, import.meta.url);
  return History.decode(await readFile(file)).events;
}

interface TellOptions {
  /** How long after the last event it is told. */
  afterMs?: number;
  codecs?: PayloadCodec[];
}

/** The story of these events. */
export const storyOf = (events: Events, options?: TellOptions): Promise<Story> =>
  told(events, options, (read, nowMs) =>
    tellStory('migrate/default/6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e001', read, nowMs),
  );

/** The same of an import's. */
export const importStoryOf = (events: Events, options?: TellOptions): Promise<ImportStory> =>
  told(events, options, (read, nowMs) => tellImport('import/default/vc/vm-42', read, nowMs));

async function told<T>(
  events: Events,
  { afterMs = 0, codecs = [] }: TellOptions = {},
  tell: (read: StoryEvent[], nowMs: number) => T | undefined,
): Promise<T> {
  const reader = new HistoryReader({
    payloadConverter: defaultPayloadConverter,
    payloadCodecs: codecs,
  } as unknown as ConstructorParameters<typeof HistoryReader>[0]);
  const last = Number(events.at(-1)!.eventTime!.seconds) * 1000;
  const story = tell(await reader.read(events), last + afterMs);
  if (story === undefined) throw new Error('no story');
  return story;
}

/** The history up to the moment in which `verb` is being done for the first time. */
export function until(events: Events, verb: string): Events {
  const scheduled = events.findIndex(
    (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === verb,
  );
  return events.slice(0, scheduled + 1);
}

/** Encrypts every payload in place but search attributes, as a fleet's history is. */
export async function encrypt(events: Events, codec: PayloadCodec): Promise<Events> {
  for (const event of events) await encryptWithin(event, codec);
  return events;
}

async function encryptWithin(node: unknown, codec: PayloadCodec): Promise<void> {
  if (typeof node !== 'object' || node === null || node instanceof Uint8Array) return;
  const fields = node as Record<string, unknown>;
  for (const [key, value] of Object.entries(fields)) {
    if (key === 'searchAttributes') continue;
    if (isPayload(value)) [fields[key]] = await codec.encode([value]);
    else if (Array.isArray(value) && value.some(isPayload))
      fields[key] = await codec.encode(value as Payload[]);
    else await encryptWithin(value, codec);
  }
}

const isPayload = (value: unknown): value is Payload =>
  typeof value === 'object' &&
  value !== null &&
  'metadata' in value &&
  typeof value.metadata === 'object' &&
  value.metadata !== null &&
  'encoding' in value.metadata;

/** Times differ with each recording of the histories. */
export const timeless = (text: string): string =>
  text
    .replace(/\d{2}:\d{2}:\d{2}( UTC)?/gu, 'TIME')
    .replace(/\d{4}-\d{2}-\d{2}/gu, 'DAY')
    .replace(/\b\d+(\.\d)? m?s\b/gu, 'LONG');
