/** What the activities of a workflow said last, by their heartbeats. */
import type { Client, WorkflowExecutionDescription } from '@temporalio/client';

/** The latest details of each activity that runs now; one that has not said anything yet has none. */
export async function beatsOf<Beat>(
  client: Client,
  { raw }: WorkflowExecutionDescription,
): Promise<Partial<Beat>[]> {
  const converter = client.options.loadedDataConverter;
  const beats: Partial<Beat>[] = [];
  for (const { heartbeatDetails } of raw.pendingActivities ?? []) {
    const [payload] = heartbeatDetails?.payloads ?? [];
    if (payload === undefined) continue;
    const decoded = await decodeOne(converter.payloadCodecs, payload);
    const beat = converter.payloadConverter.fromPayload<Partial<Beat> | null>(decoded);
    if (beat !== null) beats.push(beat);
  }
  return beats;
}

type Codecs = Client['options']['loadedDataConverter']['payloadCodecs'];
type Payload = Parameters<Codecs[number]['decode']>[0][number];

async function decodeOne(codecs: Codecs, payload: Payload): Promise<Payload> {
  let payloads = [payload];
  for (const codec of [...codecs].reverse()) payloads = await codec.decode(payloads);
  return payloads[0] ?? payload;
}
