/** What `vmferry conversion-hosts` prints with `-o json`. */
import { z } from 'zod';
import type { ConversionHostFacts, ProviderLine } from '../../domain/import.ts';
import type { UsageOverTime, UsageSample } from '../../domain/import/usage.ts';
import type { ConversionHostLine, ConversionHostRemoved } from '../ferry.ts';
import { conversionState } from './fleet.ts';
import { bytes, concern, count, flag, text } from './parts.ts';
import type { ShapeOf } from './parts.ts';

const perSecond = bytes.meta({ description: 'Bytes a second; 0 is none.' });

const facts: z.ZodType<ConversionHostFacts> = z.strictObject({
  name: text,
  arch: text,
  cpus: count,
  memoryBytes: bytes,
  cache: z.strictObject({ path: text, capacityBytes: bytes, availableBytes: bytes }),
  toolVersion: text.exactOptional(),
  toolTrouble: text.exactOptional(),
  virtioWin: flag,
  kvm: flag,
  providers: z.array(
    z.strictObject({
      name: text,
      kind: z.enum(['vsphere', 'kvm', 'ova']),
      address: text,
    } satisfies ShapeOf<ProviderLine>),
  ),
  running: count.meta({ description: 'Imports that use its cache.' }),
  parallel: count.meta({ description: 'Imports that are copied and converted at a time.' }),
  promisedBytes: bytes.meta({ description: 'What running imports have still to write.' }),
  cacheSeconds: count.exactOptional(),
  takesImports: flag.exactOptional(),
  upBytesPerSecond: perSecond.exactOptional(),
  downBytesPerSecond: perSecond.exactOptional(),
} satisfies ShapeOf<ConversionHostFacts>);

/** `conversion-hosts show`, `add`, `enable`, `disable`, `set` */
export const conversionHost: z.ZodType<ConversionHostLine> = z.strictObject({
  name: text,
  online: flag,
  enabled: flag.meta({ description: 'Whether it takes VMs as a host.' }),
  state: conversionState.exactOptional(),
  facts: facts.exactOptional(),
  trouble: text.exactOptional(),
  concerns: z.array(concern).meta({ description: 'What it lacks, whatever is imported.' }),
} satisfies ShapeOf<ConversionHostLine>);

/** `conversion-hosts` */
export const conversionHostList = z.array(conversionHost);

/** `conversion-hosts delete` */
export const conversionHostRemoved: z.ZodType<ConversionHostRemoved> = z.strictObject({
  host: text,
  cancelled: z.array(z.strictObject({ id: text })),
  left: z.array(z.strictObject({ id: text, reason: text })),
} satisfies ShapeOf<ConversionHostRemoved>);

/** `conversion-hosts show --usage` */
export const conversionUsage: z.ZodType<UsageOverTime> = z.strictObject({
  cacheDisk: text.meta({ description: 'Mount point of the file system that has the cache.' }),
  samples: z.array(
    z.strictObject({
      at: count.meta({
        description: 'Seconds since 1970; the fullest of the time until the next.',
      }),
      cacheBytes: bytes.meta({ description: 'What cached VMs take up.' }),
      disks: z
        .record(text, z.strictObject({ usedBytes: bytes, freeBytes: bytes }))
        .meta({ description: 'By mount point.' }),
    } satisfies ShapeOf<UsageSample>),
  ),
} satisfies ShapeOf<UsageOverTime>);
