/** What `vmferry doctor` says of this machine's own certificates. */
import type { Config } from '../config/schema.ts';
import { examineCertificates, warnDays } from '../pki/expiry.ts';
import type { CertificateHealth } from '../pki/expiry.ts';
import type { Finding } from './checks.ts';

/** One finding a certificate that the configuration names; none where it names none. */
export async function certificateFindings({ temporal, host }: Config): Promise<Finding[]> {
  const named = [
    temporal.tls?.ca,
    temporal.tls?.cert,
    ...(host === undefined ? [] : [host.tls.ca, host.tls.cert, `${host.tls.dir}/server-cert.pem`]),
  ].filter((path) => path !== undefined);
  return (await examineCertificates(named)).map(findingOf);
}

function findingOf({ state, detail }: CertificateHealth): Finding {
  const check = 'Certificate';
  switch (state) {
    case 'good':
      return { check, state: 'good', detail };
    case 'unreadable':
      return {
        check,
        state: 'bad',
        detail,
        remedy: 'Lay out the bundle of this machine (`vmferry pki install`), or correct the path.',
      };
    case 'not-yet-valid':
      return { check, state: 'bad', detail, remedy: "Compare this machine's clock: timedatectl" };
    case 'ends-soon':
    case 'expired':
      return {
        check,
        state: 'bad',
        detail,
        remedy: `Renew it: \`vmferry pki renew\`, then \`vmferry pki install\`; said from ${warnDays} days before its end.`,
      };
  }
}
