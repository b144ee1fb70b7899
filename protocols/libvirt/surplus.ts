/**
 * Bytes after the end of what this client knows. libvirt has never lengthened a message, and its own
 * client passes such bytes by, so that a daemon that did would still be understood; whoever wants to
 * know gives a handler.
 */

/** Told which message, and how many bytes too many. */
export type SurplusHandler = (message: string, bytes: number) => void;
