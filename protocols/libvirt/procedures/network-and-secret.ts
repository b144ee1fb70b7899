import { bytes, flags, i32, list, string, u32, uuid } from '../codec.ts';
import { network, secret } from '../types.ts';
import { call } from './call.ts';

const xml = string;
const none = {};

/** Networks and secrets. */
export const networkAndSecretCalls = {
  /** A transient one, active at once. */
  NetworkCreateXML: call(40, { xml }, { net: network }),
  NetworkDestroy: call(42, { net: network }, none),
  NetworkGetXMLDesc: call(43, { net: network, flags }, { xml }),
  NetworkGetBridgeName: call(45, { net: network }, { name: string }),
  NetworkLookupByName: call(46, { name: string }, { net: network }),
  NetworkLookupByUUID: call(47, { uuid }, { net: network }),
  NetworkIsActive: call(152, { net: network }, { active: i32 }),
  ConnectListAllNetworks: call(
    283,
    { needResults: i32, flags },
    { nets: list(network, 16_384), count: u32 },
  ),
  SecretLookupByUUID: call(141, { uuid }, { secret }),
  SecretDefineXML: call(142, { xml, flags }, { secret }),
  SecretGetXMLDesc: call(143, { secret, flags }, { xml }),
  SecretSetValue: call(144, { secret, value: bytes(65_536), flags }, none),
  /** Refused with INVALID_SECRET for a private one. */
  SecretGetValue: call(145, { secret, flags }, { value: bytes(65_536) }),
  SecretUndefine: call(146, { secret }, none),
  SecretLookupByUsage: call(147, { usageType: i32, usageId: string }, { secret }),
  ConnectListAllSecrets: call(
    287,
    { needResults: i32, flags },
    { secrets: list(secret, 16_384), count: u32 },
  ),
} as const;
