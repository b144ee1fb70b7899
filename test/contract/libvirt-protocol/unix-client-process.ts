/** Started by authentication.test.ts inside the namespaces of a private libvirtd, as some user. */
import { Connection } from '../../../protocols/libvirt/index.ts';

try {
  await using connection = await Connection.open({
    unixPath: process.argv[2] ?? '',
    uri: 'qemu:///system',
    timeoutMs: 15_000,
  });
  const { hostname } = await connection.call('ConnectGetHostname', {});
  console.log(JSON.stringify({ hostname }));
} catch (error) {
  const { name, message } = error as Error;
  console.log(JSON.stringify({ name, message, method: (error as { method?: string }).method }));
}
