/** A process of its own for tests: `change-ledger.ts STATE_DIR UUID MOVE` tries to become owner at epoch 2. */
import { Ledger } from '../../../guard/ledger.ts';

const [stateDir = '', uuid = '', migrationId = ''] = process.argv.slice(2);
const ledger = new Ledger({ stateDir, host: 'alpha' });
try {
  await ledger.transition(uuid, { to: 'incoming', epoch: 2, migrationId, name: 'web', note: '' });
  process.stdout.write('won');
} catch (error) {
  process.stdout.write((error as { code: string }).code);
}
