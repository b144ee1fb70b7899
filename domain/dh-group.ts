/** Name of the file in a folder of QEMU's certificates. */
export const dhParamsFile = 'dh-params.pem';

/**
 * Group ffdhe2048 of RFC 7919, as GnuTLS prints it (`certtool --get-dh-params --bits 2048`): public, the same everywhere.
 * Without this file QEMU (7.2) makes a group of its own each time that it begins to serve by TLS: 0.3 to 6 s of a
 * processor, while the start of each export, and of each incoming migration, stands still. TLS 1.3 uses neither.
 */
export const dhParams = `-----BEGIN DH PARAMETERS-----
MIIBDAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAgICAQA=
-----END DH PARAMETERS-----
`;
