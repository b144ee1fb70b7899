/** `vmferry rehearse`: sees on a conversion host whether a VM would come up, before anybody takes it from its place. */
import { Command } from 'commander';
import { outputOption } from '../options.ts';
import { withCheck } from '../rehearse-options.ts';
import type { Session } from '../session.ts';
import { withBegin, withConversion, withCopy, withPlaces } from '../v2v-options.ts';
import { withShape } from '../v2v-shape.ts';
import type { V2vOptions } from '../v2v-options.ts';
import { runV2v } from './v2v.ts';

/** Of the source nothing is stopped, and nothing of the VM comes to its target. */
const fixed = {
  rehearseOnly: true,
  rehearse: true,
  running: 'leave',
  verify: 'off',
  shutdownTimeout: 0,
  restartSource: true,
} as const;

/** `vmferry rehearse --provider P VM...` */
export const rehearseCommand = (session: Session): Command =>
  withBegin(
    withCopy(
      withConversion(
        withShape(
          withPlaces(
            withCheck(
              new Command('rehearse')
                .summary('start a converted copy of a VM apart from everything, and see')
                .description(
                  'Copies VMs of a provider, converts them, and starts them on the conversion host from throw-away images on networks that lead nowhere. Tells whether they come up, and throws that away. Their sources are not touched; what was copied serves the import itself.',
                )
                .argument('<vm...>', 'ID, name or UUID at the provider'),
            ),
          ),
        ),
      ),
    ),
  )
    .addOption(outputOption())
    .action((vms: string[], options: Omit<V2vOptions, keyof typeof fixed>) =>
      runV2v(session, vms, { ...options, ...fixed }),
    );
