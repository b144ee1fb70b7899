/** Begins a live move and waits for it, to be killed meanwhile. Argument: socket, then the options as JSON. */
import { LiveMigration } from '../../../platforms/libvirt/live/live-migration.ts';
import type { LiveMigrationOptions } from '../../../platforms/libvirt/live/options.ts';

const [socketPath = '', options = ''] = process.argv.slice(2);
const live = new LiveMigration({ name: 'source', socketPath });
await live.begin(JSON.parse(options) as LiveMigrationOptions);
await live.close();
