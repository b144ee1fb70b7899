/** The commands that run a process of vmferry until it is told to stop. */
import { Command } from 'commander';
import type { Session } from '../session.ts';

const workerCommand = (
  session: Session,
  kind: 'control' | 'host' | 'codec-server',
  summary: string,
): Command =>
  new Command(kind)
    .summary(summary)
    .description(
      `${summary.charAt(0).toUpperCase()}${summary.slice(1)}. SIGTERM and Ctrl-C end it in order.`,
    )
    .action(async () => {
      await session.backend.runWorker(kind, await session.backend.loadConfig(session.globals));
    });

/** `vmferry control` */
export const controlCommand = (session: Session): Command =>
  workerCommand(session, 'control', 'run the control worker: the workflows');

/** `vmferry host` */
export const hostCommand = (session: Session): Command =>
  workerCommand(session, 'host', "run this host's worker, beside its libvirt");

/** `vmferry codec-server` */
export const codecServerCommand = (session: Session): Command =>
  workerCommand(session, 'codec-server', "decrypt payloads for Temporal's UI and CLI");
