interface Payload {
  metadata?: Record<string, Uint8Array> | null;
  data?: Uint8Array | null;
}

function withoutStackTrace(payload: Payload | null): Payload | null {
  if (!payload?.data) return payload;
  const attributes = JSON.parse(Buffer.from(payload.data).toString()) as Record<string, unknown>;
  return { ...payload, data: Buffer.from(JSON.stringify({ ...attributes, stack_trace: '' })) };
}

/** Names of processes and stack traces say where a history was made; no replay needs them. */
export function forgetPlace(node: unknown): void {
  if (typeof node !== 'object' || node === null || node instanceof Uint8Array) return;
  const fields = node as Record<string, unknown>;
  for (const [key, value] of Object.entries(fields)) {
    if (key === 'identity' || key === 'stackTrace') fields[key] = '';
    else if (key === 'encodedAttributes') fields[key] = withoutStackTrace(value as Payload | null);
    else forgetPlace(value);
  }
}
