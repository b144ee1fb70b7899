/** Started by tls.test.ts inside the namespaces of a private libvirtd: connects, prints what came of it. */
import { readFile } from 'node:fs/promises';
import { Connection, LibvirtError } from '../../../protocols/libvirt/index.ts';

interface Options {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly servername?: string;
  readonly password?: string;
}

async function main({ ca, cert, key, servername, password }: Options): Promise<unknown> {
  await using connection = await Connection.open({
    tls: {
      host: '127.0.0.1',
      ca: await readFile(ca),
      cert: await readFile(cert),
      key: await readFile(key),
      ...(servername === undefined ? {} : { servername }),
    },
    uri: 'qemu:///system',
    ...(password === undefined ? {} : { sasl: { username: 'mover', password: () => password } }),
    timeoutMs: 15_000,
  });
  const calls = Array.from({ length: 200 }, () => connection.call('ConnectGetHostname', {}));
  const replies = await Promise.all(calls);
  const xml = `<domain>${'<!-- as large as several TLS records -->'.repeat(5000)}`;
  const large = await connection
    .call('DomainDefineXMLFlags', { xml })
    .then(() => 'defined')
    .catch((error: unknown) => (error instanceof LibvirtError ? error.codeName : String(error)));
  return { replies: replies.length, hostname: replies.at(-1)?.hostname, large };
}

try {
  console.log(JSON.stringify(await main(JSON.parse(process.argv[2] ?? '{}') as Options)));
} catch (error) {
  const { name, message } = error as Error;
  console.log(JSON.stringify({ name, message, whose: (error as { whose?: string }).whose }));
}
