/** Places on datastores as vSphere writes them: `[ds1] web/web.vmdk`. They come from outside, so each part is checked. */
import { permanent } from '../../domain/errors.ts';

export interface DatastorePath {
  datastore: string;
  /** Folders and the file's name, none of them `.` or `..`. */
  parts: readonly [string, ...string[]];
}

const longest = 1_024;

/** Throws VmFerryError `vsphere-path-invalid`. */
export function parseDatastorePath(text: string): DatastorePath {
  const match = text.length > longest ? null : /^\[([^\]]+)\] ?([^ ].*)$/.exec(text);
  const parts = match?.[2]?.split('/') ?? [];
  const [first, ...others] = parts;
  if (match?.[1] === undefined || first === undefined || !parts.every(isPlainName)) {
    throw invalid(text);
  }
  return { datastore: match[1], parts: [first, ...others] };
}

/** Whether it is one name, not a way to somewhere else. */
const isPlainName = (name: string): boolean =>
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  name !== '' && name !== '.' && name !== '..' && !/[/\\\u0000-\u001F\u007F]/.test(name);

/** Another file of the same folder; throws VmFerryError `vsphere-path-invalid`. */
export function besides({ datastore, parts }: DatastorePath, name: string): DatastorePath {
  if (!isPlainName(name)) throw invalid(name);
  const [first, ...others] = parts.slice(0, -1);
  return { datastore, parts: first === undefined ? [name] : [first, ...others, name] };
}

/** The path of a request to /folder; `datacenter` is `DC0`, or `ha-datacenter` of an ESXi. */
export function folderPath({ datastore, parts }: DatastorePath, datacenter: string): string {
  const query = new URLSearchParams({ dcPath: datacenter, dsName: datastore });
  return `/folder/${parts.map(encodeURIComponent).join('/')}?${query.toString()}`;
}

/** The path on an ESXi; throws VmFerryError `vsphere-path-invalid` if the datastore's name is not one name. */
export function volumePath({ datastore, parts }: DatastorePath): string {
  if (!isPlainName(datastore)) throw invalid(datastore);
  return ['/vmfs/volumes', datastore, ...parts].join('/');
}

export const showPath = ({ datastore, parts }: DatastorePath): string =>
  `[${datastore}] ${parts.join('/')}`;

const invalid = (text: string): Error =>
  permanent({
    code: 'vsphere-path-invalid',
    message: `"${text.slice(0, 200)}" is no path of a file on a datastore`,
    remedy:
      'Look at the disk in the settings of the VM: its file has to be named by datastore and path.',
  });
