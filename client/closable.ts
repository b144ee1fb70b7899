/** Calls of `@temporalio/client` that end with their connection. */
import { InterceptingCall, status } from '@grpc/grpc-js';
import type { Interceptor } from '@grpc/grpc-js';
import { defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';

/**
 * Interceptors for one connection: what asked in vain asks again, as it does by default, but not once `closed` is
 * aborted. Abort it before the connection is closed. Without it such a call, which an abort of its own does not end
 * while it waits, throws "Channel has been shut down" in a timer (client 1.x), where nobody can catch it: the whole
 * process would end.
 */
export function untilClosed(closed: AbortSignal): Interceptor[] {
  const options = defaultGrpcRetryOptions();
  return [
    makeGrpcRetryInterceptor({
      ...options,
      retryableDecider: (attempt, status) =>
        !closed.aborted && options.retryableDecider(attempt, status),
    }),
    (options, nextCall) => new InterceptingCall(closed.aborted ? refused : nextCall(options)),
  ];
}

const ignore = (): void => undefined;

/** A call that is over as it starts. */
const refused: ReturnType<Parameters<Interceptor>[1]> = {
  start: (metadata, listener) =>
    listener?.onReceiveStatus?.({
      ...{ code: status.CANCELLED, details: 'the connection was closed', metadata },
    }),
  cancelWithStatus: ignore,
  getPeer: () => '',
  sendMessageWithContext: ignore,
  sendMessage: ignore,
  startRead: ignore,
  halfClose: ignore,
  getAuthContext: () => null,
};
