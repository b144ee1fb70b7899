import { describe, expect, it } from 'vitest';
import { HttpsServer } from '../../../protocols/soap/index.ts';
import { canonicalThumbprint } from '../../../protocols/soap/trust.ts';

describe('a thumbprint', () => {
  it('is the same with colons and without, in any case', () => {
    const plain = 'ab'.repeat(20);
    const shown = 'AB:'.repeat(20).slice(0, -1);
    expect(canonicalThumbprint(plain, 'sha1')).toBe(shown);
    expect(canonicalThumbprint(shown, 'sha1')).toBe(shown);
  });

  it.each(['', 'ab', 'g'.repeat(64), 'ab'.repeat(20), `${'ab'.repeat(32)}00`])(
    'of SHA-256 is not %j',
    (text) => {
      expect(() => canonicalThumbprint(text, 'sha256')).toThrow(/is no SHA-256 thumbprint/);
    },
  );
});

describe('a server', () => {
  it.each(['http://vcenter.example', 'vcenter.example', '', 'https://user:hidden@vcenter.example'])(
    'is not at %j, which is not shown',
    (url) => {
      const make = () => new HttpsServer({ url, trust: { insecure: true } });
      expect(make).toThrow(/no https URL without user and password/);
      expect(make).not.toThrow(/hidden/);
    },
  );

  it('has the port that the address gives, else 443, and brackets only around IPv6 in it', () => {
    const nameOf = (url: string) => new HttpsServer({ url, trust: { insecure: true } }).name;
    expect(nameOf('https://vcenter.example/sdk')).toBe('vcenter.example:443');
    expect(nameOf('https://[2001:db8::1]:8443')).toBe('2001:db8::1:8443');
  });
});
