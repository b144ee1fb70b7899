/** Calls of a SOAP 1.1 server: one request, one answer, the session's cookie kept in between. */
import type { XmlElement } from './element.ts';
import { SoapError, SoapErrorKind } from './errors.ts';
import type { SoapFault } from './errors.ts';
import { HttpsServer } from './https.ts';
import type { HttpsAnswer, HttpsServerOptions } from './https.ts';
import { childOf, childrenOf, parseXml, textOf, typeOf, writeXml } from './xml.ts';
import type { XmlNode } from './xml.ts';

export interface SoapClientOptions extends HttpsServerOptions {
  /** Of the service: `/sdk`. */
  path: string;
  /** Of the calls' elements: `urn:vim25`. */
  namespace: string;
  /** The SOAPAction header: `urn:vim25/8.0`. */
  action: string;
  /** Name of the cookie that is the session. */
  cookie: string;
  /** For a call's answer; 120 s if absent. */
  timeoutMs?: number;
  /** Longest answer; 32 MiB if absent. */
  maxAnswerBytes?: number;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** In place of the client's own. */
  timeoutMs?: number;
}

const defaultTimeoutMs = 120_000;
const defaultAnswerBytes = 32 * 1024 * 1024;
const longestCookie = 4_096;
const longestFaultText = 500;

export class SoapClient {
  /** The connections, for what the server gives out beside SOAP. */
  readonly server: HttpsServer;
  readonly #options: SoapClientOptions;
  #cookie = '';

  constructor(options: SoapClientOptions) {
    this.#options = options;
    this.server = new HttpsServer(options);
  }

  /** As a Cookie header has it; empty if nobody is logged in. A secret. */
  get cookie(): string {
    return this.#cookie;
  }

  forgetSession(): void {
    this.#cookie = '';
  }

  /**
   * Calls `method`; resolves with its response element. Rejects with `SoapError`; of kind `fault` if the server says so.
   * Never repeated by itself.
   */
  async call(
    method: string,
    parameters: readonly XmlNode[],
    options: CallOptions = {},
  ): Promise<XmlElement> {
    const {
      path,
      action,
      timeoutMs = defaultTimeoutMs,
      maxAnswerBytes = defaultAnswerBytes,
    } = this.#options;
    const limit = options.timeoutMs ?? timeoutMs;
    // Silence alone would let a server hold us for ever, byte by byte.
    const deadline = AbortSignal.timeout(limit);
    const signal = AbortSignal.any([
      deadline,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    try {
      const answer = await this.server.send({
        method: 'POST',
        path,
        headers: {
          'Content-Type': 'text/xml; charset=utf-8',
          SOAPAction: action,
          ...(this.#cookie === '' ? {} : { Cookie: this.#cookie }),
        },
        body: this.#envelope(method, parameters),
        silenceMs: limit,
        signal,
      });
      const text = await answer.readAll(maxAnswerBytes);
      this.#keepCookie(answer);
      return this.#open(method, answer.status, text.toString('utf8'));
    } catch (error) {
      if (
        !deadline.aborted ||
        !(error instanceof SoapError) ||
        error.kind !== SoapErrorKind.aborted
      )
        throw error;
      const message = `${method} at ${this.server.name} was not answered within ${limit / 1000} s`;
      throw new SoapError(SoapErrorKind.timeout, message, { cause: error });
    }
  }

  close(): void {
    this.server.close();
  }

  #envelope(method: string, parameters: readonly XmlNode[]): string {
    const attributes = { xmlns: this.#options.namespace };
    const call = writeXml({ name: method, attributes, content: parameters });
    return (
      '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"' +
      ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">' +
      `<soapenv:Body>${call}</soapenv:Body></soapenv:Envelope>`
    );
  }

  #keepCookie({ headers }: HttpsAnswer): void {
    for (const line of headers['set-cookie'] ?? []) {
      const pair = line.split(';', 1)[0] ?? '';
      if (pair.startsWith(`${this.#options.cookie}=`) && pair.length <= longestCookie)
        this.#cookie = pair;
    }
  }

  #open(method: string, status: number, text: string): XmlElement {
    // A fault comes with 500; whatever else is no success is not SOAP's word.
    if (status !== 200 && status !== 500) throw this.#httpError(method, status);
    let root: XmlElement;
    try {
      root = parseXml(text);
    } catch (error) {
      if (status === 500) throw this.#httpError(method, status);
      throw error;
    }
    const [body] = root.name === 'Envelope' ? childrenOf(root, 'Body') : [];
    const fault = childOf(body, 'Fault');
    if (fault !== undefined) throw faultError(method, this.server.name, fault);
    const response = childOf(body, `${method}Response`);
    if (status !== 200 || response === undefined) {
      const message = `${this.server.name} did not answer ${method} as SOAP has it`;
      throw new SoapError(SoapErrorKind.malformed, message);
    }
    return response;
  }

  #httpError(method: string, status: number): SoapError {
    const message = `${this.server.name} answered ${method} with HTTP ${status}`;
    return new SoapError(SoapErrorKind.http, message, { status });
  }
}

function faultError(method: string, name: string, element: XmlElement): SoapError {
  const [detail] = childrenOf(childOf(element, 'detail'));
  // Some servers give the type by xsi:type, some by the element's name only.
  const named = (detail?.name ?? '').replace(/Fault$/, '');
  const fault: SoapFault = {
    type: typeOf(detail) || named,
    text: textOf(element, 'faultstring').slice(0, longestFaultText),
    detail,
  };
  const message = `${name} refused ${method}: ${[fault.type, fault.text].filter(Boolean).join(': ')}`;
  return new SoapError(SoapErrorKind.fault, message, { fault });
}
