/** Keep-alive: answers the daemon's pings, sends our own when it is silent, notices that it is gone. */
import { MessageStatus, MessageType, Program } from './framing.ts';
import type { Frame } from './framing.ts';

/** How a silent daemon is found out: after at most `intervalMs * (count + 2)`. */
export interface KeepAliveOptions {
  /** Silence after which a ping is sent. */
  readonly intervalMs: number;
  /** Pings without a sign of life before the connection counts as dead. */
  readonly count: number;
}

const Procedure = { ping: 1, pong: 2 } as const;

const frameOf = (procedure: number): Frame => ({
  program: Program.keepAlive,
  procedure,
  type: MessageType.event,
  serial: 0,
  status: MessageStatus.ok,
  body: new Uint8Array(),
});

export interface KeepAliveOwner {
  readonly send: (frame: Frame) => Promise<void>;
  readonly onDead: (message: string) => void;
}

export class KeepAlive {
  readonly #owner: KeepAliveOwner;
  #heard = false;
  #missed = 0;
  #answering = false;
  #listening = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(owner: KeepAliveOwner) {
    this.#owner = owner;
  }

  /** Begins to send pings of our own. */
  start({ intervalMs, count }: KeepAliveOptions): void {
    this.stop();
    this.#timer = setInterval(() => this.#tick({ intervalMs, count }), intervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /**
   * While this side does not read, no silence can be noticed. Pings still go out, because any message
   * is a sign of life to the daemon, which would otherwise take this client for dead.
   */
  setListening(listening: boolean): void {
    this.#listening = listening;
    this.#heard = true;
  }

  /** Any message from the daemon is a sign of life. */
  heard(): void {
    this.#heard = true;
  }

  /** Takes a keep-alive message. One answer waits at most, so that a flood of pings stays cheap. */
  onFrame({ procedure }: Frame): void {
    // A message of another number is a sign of life like any other; libvirt's own client does the same.
    if (procedure !== Procedure.ping || this.#answering) return;
    this.#answering = true;
    void this.#send(Procedure.pong).finally(() => (this.#answering = false));
  }

  #tick({ intervalMs, count }: KeepAliveOptions): void {
    if (!this.#listening) {
      void this.#send(Procedure.ping);
      return;
    }
    if (this.#heard) {
      this.#heard = false;
      this.#missed = 0;
      return;
    }
    if (this.#missed >= count) {
      this.stop();
      this.#owner.onDead(`no sign of life for ${count + 1} times ${intervalMs} ms`);
      return;
    }
    this.#missed += 1;
    void this.#send(Procedure.ping);
  }

  /** A failed write ends the link, which tells everybody; there is nothing more to say here. */
  async #send(procedure: number): Promise<void> {
    await this.#owner.send(frameOf(procedure)).catch(() => undefined);
  }
}
