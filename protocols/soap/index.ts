/** A thin SOAP 1.1 client over pinned HTTPS. `README.md` shows its use. */
export { SoapClient } from './client.ts';
export type { CallOptions, SoapClientOptions } from './client.ts';
export { errorText, isFault, SoapError, SoapErrorKind } from './errors.ts';
export type { SoapFault } from './errors.ts';
export { HttpsServer } from './https.ts';
export type { HttpsAnswer, HttpsRequest, HttpsServerOptions } from './https.ts';
export type { RangeAnswer, RangeRequest } from './ranges.ts';
export type { TlsTrust } from './trust.ts';
export { attributeOf, childOf, childrenOf, textOf, typeOf } from './xml.ts';
export type { XmlElement } from './element.ts';
export type { XmlNode } from './xml.ts';
